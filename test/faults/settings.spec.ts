import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { loadConfig, settings } from '../../src/config.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { endPrograms, productionSettings, startMain } from '../support/process.js';
import { row } from '../support/row.js';

type Environment = Record<string, string>;

let database: TestDatabase;
let folder: string;
let good: Environment;
beforeAll(async () => {
  database = await createDatabase();
  folder = mkdtempSync(join(tmpdir(), 'floodgate-test-'));
  // With these settings, the only mistake is the one under test.
  const admin = { ADMIN_EMAIL: 'admin@example.com', ADMIN_PASSWORD: 'first-admin-of-the-tests' };
  good = { ...productionSettings(database.url), REDIS_URL: 'redis://127.0.0.1:1', ...admin };
});
afterEach(endPrograms);
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await database?.drop();
});

/** The lines with which a start fails; it must exit with 1 at once, and print nothing else. */
async function refusalOf(environment: Environment): Promise<string[]> {
  const program = startMain({ DATA_DIR: join(folder, 'data'), ...environment });
  expect(await program.end()).toEqual({ code: 1, signal: null });
  expect(program.stdout).toBe('');
  expect(program.stderr).not.toMatch(/^ +at |node:internal/m);
  return program.stderr.trimEnd().split('\n');
}

/** The same without a process, for cases that are too many to start one each. */
function mistakesOf(environment: Environment): string[] {
  try {
    loadConfig({ DATA_DIR: join(folder, 'data'), ...environment });
  } catch (error) {
    return (error as Error).message.split('\n');
  }
  return [];
}

const shape: Record<string, z.ZodType> = settings.shape;
const isSecret = (name: string) => shape[name]?.meta()?.secret === true;
const secrets = Object.keys(shape).filter(isSecret);
const firstWords = (lines: string[]) => lines.map((line) => line.split(' ')[0] as string).sort();

/** Values that only a setting of arbitrary text accepts. */
const ODD = ['no such value', 'TRUE', '0', 'ftp://x', 'short', `x${'y'.repeat(128)}`];
const NUMBERS = ['1e3', '0x10', '1.5', ' 1', '+1', '9'.repeat(20), 'Infinity', 'no such value'];

/** Values that a setting must refuse, derived from its schema. */
function faultsOf(name: string): string[] {
  const schema = shape[name] as z.ZodType;
  const {
    type,
    minimum = 0,
    maximum = 0,
    enum: values,
  } = z.toJSONSchema(schema, {
    io: 'output',
    unrepresentable: 'any',
  });
  if (type === 'number') return [String(minimum - 1), String(maximum + 1), ...NUMBERS];
  if (values)
    return ['no such value', String(values[0]).toUpperCase(), `${values[0]} `].filter((one) => !values.includes(one));
  return ODD.filter((value) => !schema.safeParse(value).success);
}

row(48, 'each fault of each setting', async () => {
  const faults = Object.keys(shape).map((name) => ({ name, values: faultsOf(name) }));
  // These may be any text; a setting without a check would show up here.
  const free = faults.filter(({ values }) => values.length === 0).map(({ name }) => name);
  expect(free).toEqual(['HOST', 'DATA_DIR', 'REDIS_CA', 'OTEL_SERVICE_NAME', 'JWT_AUDIENCE']);
  expect(mistakesOf(good)).toEqual([]);
  let alone = 0;
  for (const { name, values } of faults)
    for (const value of values) {
      const lines = mistakesOf({ ...good, [name]: value });
      expect([name, value, firstWords(lines)]).toEqual([name, value, [name]]);
      if (isSecret(name)) expect(lines[0]).not.toContain(value);
      alone++;
    }
  // These parse as URLs, but cannot be connected to.
  for (const [name, value] of [
    ['REDIS_URL', 'redis://:a%zz@127.0.0.1'],
    ['REDIS_URL', 'redis://:a%ff@127.0.0.1'],
    ['REDIS_URL', 'redis://127.0.0.1/cache'],
    ['DATABASE_URL', 'postgres://u:100%@127.0.0.1/x'],
    ['DATABASE_REPLICA_URLS', `${database.url},postgres://u:100%@127.0.0.1/x`],
  ] as const)
    expect([value, firstWords(await refusalOf({ ...good, [name]: value }))]).toEqual([value, [name]]);
  // All settings at once, in a process: the first fault of each, then the second of each, and so on.
  const rounds = Math.max(...faults.map(({ values }) => values.length));
  for (let round = 0; round < rounds; round++) {
    const wrong = faults.filter(({ values }) => values.length > round);
    const given = Object.fromEntries(wrong.map(({ name, values }) => [name, values[round] as string]));
    const lines = await refusalOf({ ...good, ...given });
    expect([round, firstWords(lines)]).toEqual([round, Object.keys(given).sort()]);
  }
  return { settings: faults.length, 'faults, a line each': alone, 'processes that did not start': rounds };
});

row(48, 'misspelt', async () => {
  const slips = (name: string) => [
    name.slice(0, -1),
    `${name}S`,
    `${name.slice(0, 3)}${name.slice(4)}`,
    `${name.slice(0, 3)}${name.charAt(4)}${name.charAt(3)}${name.slice(5)}`,
    name.toLowerCase(),
  ];
  const known = [...Object.keys(shape), ...secrets.map((name) => `${name}_FILE`)].filter(({ length }) => length >= 8);
  const misspelt = known.flatMap((name) => slips(name).map((slip) => [slip, name] as const));
  const wrong = new Map(misspelt.filter(([slip]) => !(slip in shape) && !known.includes(slip)));
  const lines = await refusalOf({ ...good, ...Object.fromEntries([...wrong].map(([slip]) => [slip, 'x'])) });
  expect(firstWords(lines)).toEqual([...wrong.keys()].sort());
  for (const line of lines) {
    const [, slip, meant] = /^(\w+) is not a setting: (\w+) is/.exec(line) ?? [];
    expect([slip, meant]).toEqual([slip, wrong.get(slip ?? '')]);
  }
  // Variables of other programs are ignored.
  const others = ['PATH', 'POST', 'HOSTS', 'HOSTNAME', 'REDIS_PORT', 'REDIS_SERVICE_HOST', 'DATABASE_HOST', 'LOGNAME'];
  const allowed = [
    ...others,
    'DATABASE_URLS_OF_OTHERS',
    'NODE_OPTIONS',
    'OTEL_RESOURCE_ATTRIBUTES',
    'npm_config_cache',
  ];
  expect(mistakesOf({ ...good, ...Object.fromEntries(allowed.map((name) => [name, 'x'])) })).toEqual([]);
  return { 'names, a line each': wrong.size };
});

row(48, 'missing, or secrets of development', async () => {
  const needed = Object.keys(shape).filter((name) => shape[name]?.meta()?.required);
  const without = (...names: string[]) =>
    Object.fromEntries(Object.entries(good).filter(([name]) => !names.includes(name)));
  for (const name of needed) {
    const lines = await refusalOf(without(name));
    expect(lines).toEqual([expect.stringMatching(new RegExp(`^${name} is missing: production needs it`))]);
  }
  const all = [...needed, 'REDIS_URL', 'SINGLE_REPLICA'];
  const missing = [...needed, 'REDIS_URL'].map((name) => expect.stringMatching(new RegExp(`^${name} is missing`)));
  expect(await refusalOf(without(...all))).toEqual(missing);
  // None is generated instead, and the secrets that development has generated are not used either.
  expect(readdirSync(folder)).toEqual([]);
  const data = join(folder, 'data');
  mkdirSync(data);
  const { privateKey } = generateKeyPairSync('ed25519');
  writeFileSync(join(data, 'app-secret'), 'a secret of development that is long enough');
  writeFileSync(join(data, 'jwt-private-key.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
  expect(await refusalOf(without(...all))).toEqual(missing);
  // Missing files of secrets: a line for each, which names the file.
  const files = Object.fromEntries(secrets.map((name) => [`${name}_FILE`, join(folder, 'nothing', name)]));
  const unread = await refusalOf({ ...without(...secrets), ...files });
  expect(firstWords(unread)).toEqual(Object.keys(files).sort());
  for (const line of unread) expect(line).toMatch(/^\w+_FILE cannot be read: .+nothing/);
  expect(await refusalOf({ ...good, ADMIN_EMAIL: '' })).toEqual([
    expect.stringMatching(/^ADMIN_EMAIL and ADMIN_PASSWORD/),
  ]);
  for (const ADMIN_PASSWORD of ['password123', 'ｐａｓｓｗｏｒｄ１２３'])
    expect(await refusalOf({ ...good, REDIS_URL: '', ADMIN_PASSWORD })).toEqual([
      'ADMIN_PASSWORD is among the most common passwords',
    ]);
  return { 'needed in production': needed.length, 'secrets that may be files': secrets.length };
});
