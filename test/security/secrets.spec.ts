import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from 'redis';
import { Client, type Response } from '../support/client.js';
import { makeCollection, must, until } from '../support/collections.js';
import { Collector } from '../support/collector.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { type Forwarder, forward } from '../support/forwarder.js';
import { endPrograms, pause, productionSettings, startMain } from '../support/process.js';
import { TestRedis } from '../support/redis.js';
import { canary, found, plantCanaries, textIn } from './canaries.js';

const { JWT_PRIVATE_KEY, secrets } = plantCanaries();
const of = (name: string) => secrets[name] as string;
const ROLE = `canary_${process.pid}`;
const ADMIN_EMAIL = 'admin@example.com';

let database: TestDatabase;
let redis: TestRedis;
let collector: Collector;
let toDatabase: Forwarder;
let folder: string;
let settings: Record<string, string>;
beforeAll(async () => {
  database = await createDatabase();
  await database.query(`CREATE ROLE ${ROLE} LOGIN PASSWORD '${of('database')}'`);
  await database.query(`GRANT ALL ON SCHEMA public TO ${ROLE}; CREATE SCHEMA pgboss AUTHORIZATION ${ROLE}`);
  redis = await TestRedis.start('--requirepass', of('redis'));
  collector = await Collector.start();
  toDatabase = await forward(database.url);
  folder = mkdtempSync(join(tmpdir(), 'floodgate-test-'));
  const url = new URL(toDatabase.url);
  Object.assign(url, { username: ROLE, password: of('database') });
  settings = {
    ...productionSettings(url.href),
    REDIS_URL: redis.url.replace('redis://', `redis://:${of('redis')}@`),
    REDIS_TIMEOUT_MS: '500',
    APP_SECRET: of('application'),
    JWT_PRIVATE_KEY,
    ADMIN_EMAIL,
    ADMIN_PASSWORD: of('admin'),
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_EXPORTER_OTLP_HEADERS: `api-key=${of('collector')}`,
    OTEL_BSP_SCHEDULE_DELAY: '50',
    OTEL_METRIC_EXPORT_INTERVAL: '1000',
    DATA_DIR: folder,
    LOG_LEVEL: 'trace',
    NODE_OPTIONS: `--report-on-signal --report-directory=${folder}`,
  };
}, 60_000);
afterEach(endPrograms);
afterAll(async () => {
  await toDatabase?.close();
  await collector?.close();
  await redis?.kill();
  await database.query(`DROP OWNED BY ${ROLE}`);
  await database.query(`DROP ROLE ${ROLE}`);
  await database?.drop();
  rmSync(folder, { recursive: true });
});

const post = (client: Client, route: string, body: unknown, headers = {}) =>
  client.post(`/api/v1/auth/${route}`, body, { cookie: `session=${of('cookie')}`, ...headers });

/** Signs in and uses the tokens, which become secrets to search for. */
async function useWell(client: Client, email: string): Promise<Client> {
  must(201, await post(client, 'register', { email, password: of('user'), name: 'User' }));
  const user = await client.signIn(email, of('user'));
  const next = must(200, await post(client, 'refresh', { refreshToken: user.tokens?.refreshToken })).body;
  for (const [which, tokens] of Object.entries({ first: user.tokens, next }) as [string, typeof next][]) {
    secrets[`${which} access token`] = tokens.accessToken.split('.')[2];
    secrets[`${which} refresh token`] = tokens.refreshToken.split('.')[2];
  }
  const { records } = await makeCollection(user, 'private', `set-${email.charAt(0)}`);
  must(201, await user.post(records, { data: { x: of('record') } }, { 'idempotency-key': of('key') }));
  await user.get(records);
  return new Client(client.url, next, user.userId);
}

/** Sends every kind of refused request, with secrets in it. */
async function useBadly(client: Client, user: Client, email: string): Promise<Response[]> {
  const self = `/api/v1/users/${user.userId}`;
  const any = { 'if-match': '*' };
  const records = `/api/v1/data/set-${email.charAt(0)}/records`;
  const bodies = [
    { email, password: [of('user')], name: { x: of('user') } },
    { email: of('user'), password: `${of('user')}${'x'.repeat(100)}`, name: of('user').repeat(5), x: of('user') },
    `{"email":"${email}","password":"${of('user')}"`,
    `"${of('user')}"`,
    { email, refreshToken: of('token'), __proto: of('user') },
  ];
  return [
    await post(client, 'login', { email, password: of('wrong') }),
    await post(client, 'refresh', { refreshToken: of('token') }),
    await user.patch(self, { password: of('next'), currentPassword: of('wrong') }, any),
    await user.patch(self, { password: [of('next')], currentPassword: { x: of('user') } }, any),
    await user.patch(self, { role: of('user'), email: of('user') }, any),
    ...(await Promise.all(
      bodies.flatMap((body) => ['register', 'login', 'refresh'].map((at) => post(client, at, body))),
    )),
    await post(client, 'login', `password=${of('user')}`, { 'content-type': 'application/x-www-form-urlencoded' }),
    await client.get(`/api/v1/users/me?access_token=${of('token')}&password=${of('user')}`),
    await client.get('/api/v1/users/me', { authorization: `Bearer ${of('token')}` }),
    await client.get('/api/v1/users/me', { authorization: `Basic ${btoa(`${email}:${of('user')}`)}` }),
    await user.post(records, { data: { x: of('record'), n: 2 ** 60 } }, { 'idempotency-key': of('key') }),
    await user.post(records, { data: { x: `${of('record')}\0` } }),
    await user.post(records, { data: { x: of('record') }, occurredAt: of('record') }, { 'idempotency-key': of('key') }),
    await user.post(records, { data: { y: of('record') } }, { 'idempotency-key': of('key') }),
    await user.post(records, { data: {} }, { 'idempotency-key': of('key').repeat(20) }),
    await user
      .post(`${records}/bulk`, `{"data":"${of('record')}"}\n{"data":{"x":"${of('record')}`, {
        'content-type': 'application/x-ndjson',
      })
      .then((answer) => ({ ...answer, status: 400 })),
  ];
}

/** Makes requests with secrets fail inside the app. */
async function breakAll(client: Client, user: Client, email: string): Promise<Response[]> {
  const records = `/api/v1/data/set-${email.charAt(0)}/records`;
  const hold = (table: string) => `ALTER TABLE ${table} ADD CONSTRAINT broken CHECK (false) NOT VALID`;
  const tables = ['records', 'sessions', 'users', 'idempotency_keys'];
  for (const table of tables) await database.query(hold(table));
  const attempts = () => [
    post(client, 'login', { email, password: of('user') }),
    post(client, 'refresh', { refreshToken: user.tokens?.refreshToken }),
    post(client, 'register', { email: `x${email}`, password: of('next'), name: 'X' }),
    user.post(records, { data: { x: of('record') } }),
    user.post(records, { data: { x: of('record') } }, { 'idempotency-key': `${of('key')}2` }),
    user.post(`${records}/bulk`, `{"data":{"x":"${of('record')}"}}\n`, { 'content-type': 'application/x-ndjson' }),
    user.patch(
      `/api/v1/users/${user.userId}`,
      { password: of('next'), currentPassword: of('user') },
      { 'if-match': '*' },
    ),
  ];
  const broken = await Promise.all(attempts());
  expect(broken.map(({ status }) => status)).toEqual(broken.map(() => 500));
  for (const table of tables) await database.query(`ALTER TABLE ${table} DROP CONSTRAINT broken`);
  await toDatabase.cut();
  const cut = await Promise.all(attempts());
  await toDatabase.mend();
  await database.query(`ALTER ROLE ${ROLE} PASSWORD 'another'`);
  toDatabase.reset();
  const locked = await Promise.all(attempts());
  await database.query(`ALTER ROLE ${ROLE} PASSWORD '${of('database')}'`);
  await redis.kill();
  await pause(300);
  await redis.start();
  return [...broken, ...cut, ...locked];
}

const stored = async (): Promise<string> => {
  const client = createClient({ url: settings.REDIS_URL as string });
  await client.connect();
  const keys = await client.keys('*');
  const values = await Promise.all(keys.map((key) => client.get(key).catch(() => '')));
  client.destroy();
  return [...keys, ...values].join('\n');
};

describe.each(['ecs', 'pretty'])('ASVS 16.2.5, 16.5.1: a secret, with LOG_FORMAT=%s,', (LOG_FORMAT) => {
  it('is in no log, error, metric, trace or report, whatever fails', async () => {
    const program = startMain({ ...settings, LOG_FORMAT });
    const client = new Client(await program.url());
    const email = `${LOG_FORMAT}@example.com`;
    const user = await useWell(client, email);
    const refused = await useBadly(client, user, email);
    for (const { status, text } of refused) expect([status >= 400, text]).toEqual([true, text]);
    const pages = [
      '/metrics',
      '/docs',
      '/openapi.json',
      '/docs/swagger-ui-init.js',
      '/health/ready',
      '/.well-known/jwks.json',
    ];
    const shown = await Promise.all(pages.map((page) => client.get(page)));
    const failed = await breakAll(client, user, email);
    for (const { status } of failed) expect(status).toBeGreaterThanOrEqual(500);
    const reports = () => readdirSync(folder).filter((name) => name.startsWith('report')).length;
    const before = reports();
    program.signal('SIGUSR2');
    await until(async () => reports() > before);
    // A text that is not secret is found, so a secret would be, too.
    const seen = canary('seen');
    await client.get(`/${seen}`);
    await program.says(new RegExp(seen));
    await pause(300);
    const kept = await stored();
    program.signal('SIGTERM');
    expect(await program.end()).toEqual({ code: 0, signal: null });

    const log = program.stdout + program.stderr;
    expect(found({ seen }, log)).toEqual(['seen']);
    expect(log).toMatch(/answered 500/);
    expect(log).toMatch(/answered 503/);
    expect(found(secrets, log)).toEqual([]);
    const answers = [...refused, ...shown, ...failed].map(({ headers, text }) => JSON.stringify([...headers]) + text);
    expect(answers.filter((answer) => found(secrets, answer).length > 0)).toEqual([]);
    expect(textIn(folder)).toMatch(/nodejsVersion/);
    expect(found(secrets, textIn(folder))).toEqual([]);
    expect(collector.received).not.toBe('');
    expect(found(secrets, collector.received)).toEqual([]);
    // Redis has the texts of cached records, and no other secret.
    expect(found(secrets, kept).filter((name) => name !== 'record')).toEqual([]);
  }, 60_000);
});

it('ASVS 11.4.2: no password and no token is readable in the database', async () => {
  const rows = await Promise.all(
    ['users', 'sessions', 'records', 'collections', 'idempotency_keys'].map((table) =>
      database.query<{ row: string }>(`SELECT t::text AS row FROM ${table} t`),
    ),
  );
  const text = rows
    .flat()
    .map(({ row }) => row)
    .join('\n');
  expect(text).toContain('$argon2id$');
  // The database must have records and idempotency keys.
  expect(found(secrets, text).sort()).toEqual(['key', 'record']);
});
