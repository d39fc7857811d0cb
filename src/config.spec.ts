import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { type Config, doubtsOf, loadConfig, settings } from './config.js';
import { StartError } from './platform/start-error.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'floodgate-test-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const pemOf = (key: { export(options: { type: 'pkcs8' | 'spki'; format: 'pem' }): string | Buffer }) => ({
  private: () => key.export({ type: 'pkcs8', format: 'pem' }).toString(),
  public: () => key.export({ type: 'spki', format: 'pem' }).toString(),
});
const ed25519 = generateKeyPairSync('ed25519');
const p256 = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });

const SECRET = 'a secret of the tests that is long enough';
const production = () => ({
  NODE_ENV: 'production',
  DATABASE_URL: 'postgres://user:word@db.example.com/floodgate',
  REDIS_URL: 'redis://cache.example.com',
  APP_SECRET: SECRET,
  JWT_PRIVATE_KEY: pemOf(ed25519.privateKey).private(),
});

const development = (environment: Record<string, string> = {}): Config =>
  loadConfig({ DATA_DIR: folder, ...environment });

/** The lines of the error message. */
function mistakesOf(environment: Record<string, string>): string[] {
  try {
    loadConfig({ DATA_DIR: folder, ...environment });
  } catch (error) {
    expect(error).toBeInstanceOf(StartError);
    return (error as Error).message.split('\n');
  }
  return [];
}

describe('settings', () => {
  it('have defaults for development', () => {
    expect(development()).toMatchObject({
      NODE_ENV: 'development',
      HOST: '127.0.0.1',
      PORT: 3000,
      DATABASE_POOL_SIZE: 10,
      MIGRATE_ON_START: true,
      ADMIN_PAGE: true,
      DRAIN_DELAY_MS: 0,
      LOG_LEVEL: 'info',
      LOG_FORMAT: 'pretty',
      BODY_LIMIT_BYTES: 1_048_576,
      BULK_LIMIT_BYTES: 67_108_864,
    });
    expect(development().DATABASE_URL).toBeUndefined();
    expect(development().TRUST_PROXY).toBeUndefined();
  });

  it('have safer defaults in production, which can be overridden', () => {
    expect(loadConfig(production())).toMatchObject({
      HOST: '0.0.0.0',
      MIGRATE_ON_START: false,
      ADMIN_PAGE: false,
      LOG_FORMAT: 'ecs',
      DRAIN_DELAY_MS: 5000,
    });
    const own = { HOST: '::1', MIGRATE_ON_START: 'true', LOG_FORMAT: 'pretty', DRAIN_DELAY_MS: '0' };
    expect(loadConfig({ ...production(), ...own })).toMatchObject({
      HOST: '::1',
      MIGRATE_ON_START: true,
      LOG_FORMAT: 'pretty',
      DRAIN_DELAY_MS: 0,
    });
  });

  it('count as absent when they are empty', () => {
    const empty = Object.fromEntries(Object.keys(settings.shape).map((name) => [name, '']));
    expect(development({ ...empty, DATA_DIR: folder })).toEqual(development());
    expect(mistakesOf({ ...production(), APP_SECRET: '' })).toEqual([expect.stringMatching(/^APP_SECRET is missing/)]);
  });

  it.each([
    ['PORT', '65536'],
    ['PORT', '-1'],
    ['PORT', '0x10'],
    ['PORT', '1e3'],
    ['PORT', '80.5'],
    ['PORT', ' 80'],
    ['DATABASE_POOL_SIZE', '1'],
    ['DATABASE_POOL_SIZE', '99999999999999999999'],
    ['ACCESS_TOKEN_TTL_S', '901'],
    ['SESSION_CHECK_MS', '5001'],
    ['HEADERS_TIMEOUT_MS', '0'],
    ['BODY_LIMIT_BYTES', 'lots'],
    ['LOG_LEVEL', 'INFO'],
    ['LOG_FORMAT', 'json'],
    ['MIGRATE_ON_START', 'yes'],
    ['NODE_ENV', 'prod'],
    ['DATABASE_URL', 'mysql://db.example.com/x'],
    ['DATABASE_URL', 'db.example.com'],
    ['PUBLIC_URL', 'ftp://example.com'],
    ['PUBLIC_URL', 'https://example.com//floodgate'],
    ['PUBLIC_URL', 'https://example.com/floodgate?x'],
    ['TRUST_PROXY', 'true'],
    ['TRUST_PROXY', 'example.com'],
    ['TRUST_PROXY', '10.0.0.0/8,'],
    ['APP_SECRET', 'short'],
    ['JWT_PRIVATE_KEY', 'no key'],
    ['JWT_OTHER_PUBLIC_KEYS', 'no keys'],
  ])('refuse %s=%s in one line that names it and not its value', (name, value) => {
    const lines = mistakesOf({ [name]: value });
    expect(lines).toEqual([expect.stringMatching(new RegExp(`^${name} (must|is not valid)`))]);
    if (settings.shape[name as keyof Config].meta()?.secret) expect(lines[0]).not.toContain(value);
  });

  it('report all mistakes at once, a line each', () => {
    const lines = mistakesOf({ PORT: 'x', LOG_LEVEL: 'x', PUBLIC_URL: 'x', ADMIN_EMAIL: 'x' });
    expect(lines.map((line) => line.split(' ')[0]).sort()).toEqual([
      'ADMIN_EMAIL',
      'ADMIN_EMAIL',
      'LOG_LEVEL',
      'PORT',
      'PUBLIC_URL',
    ]);
  });

  it('accept addresses and ranges of both families as proxies, or their number', () => {
    for (const proxies of ['10.0.0.0/8,127.0.0.1,fd00::/8', '1', '10'])
      expect(development({ TRUST_PROXY: proxies }).TRUST_PROXY).toBe(proxies);
  });

  it('refuse a proxy that is not an address, the range of all addresses, and an invalid number', () => {
    for (const TRUST_PROXY of [
      '0',
      '11',
      '-1',
      '1.5',
      '01',
      '1,127.0.0.1',
      '999.1.1.1',
      '10.0.0.0/99',
      '0.0.0.0/0',
      '::/0',
      '::::',
      'abc',
    ])
      expect(mistakesOf({ TRUST_PROXY })).toEqual([expect.stringMatching(/^TRUST_PROXY /)]);
  });

  it('accept only private keys of Ed25519 and P-256 for signing', () => {
    const JWT_PRIVATE_KEY = pemOf(p256.privateKey).private();
    expect(development({ JWT_PRIVATE_KEY }).JWT_PRIVATE_KEY).toBe(JWT_PRIVATE_KEY);
    for (const key of [pemOf(rsa.privateKey).private(), pemOf(ed25519.publicKey).public()])
      expect(mistakesOf({ JWT_PRIVATE_KEY: key })).toEqual([expect.stringMatching(/^JWT_PRIVATE_KEY must be/)]);
  });

  it('accept several public keys', () => {
    const keys = pemOf(ed25519.publicKey).public() + pemOf(p256.publicKey).public();
    expect(development({ JWT_OTHER_PUBLIC_KEYS: keys }).JWT_OTHER_PUBLIC_KEYS).toHaveLength(2);
  });
});

describe('a variable that is probably a misspelt setting', () => {
  it.each([
    ['RATE_LIMIT', 'RATE_LIMIT_REQUESTS or RATE_LIMIT_WINDOW_S'],
    ['RATE_LIMIT_MAX', 'RATE_LIMIT_REQUESTS or RATE_LIMIT_WINDOW_S'],
    ['DATABASE_POOL', 'DATABASE_POOL_SIZE'],
    ['PROT', 'PORT'],
    ['port', 'PORT'],
    ['EGDE', 'EDGE'],
  ])('is reported: %s', (name, meant) => {
    expect(doubtsOf({ [name]: '1' })).toEqual([`${name} is not a setting, and changes nothing. Was ${meant} meant?`]);
  });

  it('is not one that a shell, npm, Kubernetes or OpenTelemetry sets, nor a setting itself', () => {
    const services = ['FLOODGATE', 'REDIS', 'DATABASE', 'RATE_LIMIT', 'DATABASE_POOL'].flatMap((service) =>
      ['SERVICE_HOST', 'SERVICE_PORT', 'SERVICE_PORT_HTTP', 'PORT', 'PORT_80_TCP', 'PORT_80_TCP_ADDR'].map(
        (end) => `${service}_${end}`,
      ),
    );
    const others =
      `HOME HOSTNAME HOSTTYPE PATH PWD SHELL USER TERM LANG MAIL EDITOR LOGNAME SHLVL COLORTERM DISPLAY NODE
      NODE_OPTIONS INIT_CWD npm_config_cache npm_package_name npm_lifecycle_event OTEL_RESOURCE_ATTRIBUTES PGPORT PGHOST
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT SSH_AUTH_SOCK XDG_RUNTIME_DIR`.split(/\s+/);
    const secrets = Object.entries(settings.shape).flatMap(([name, schema]) =>
      schema.meta()?.secret ? [`${name}_FILE`] : [],
    );
    const names = [...services, ...others, ...secrets, ...Object.keys(settings.shape), ...Object.keys(process.env)];
    expect(doubtsOf(Object.fromEntries(names.map((name) => [name, '1'])))).toEqual([]);
  });
});

it('has only defaults in .env.example', () => {
  const example = readFileSync('.env.example', 'utf8').replaceAll(/^# (?=[A-Z_]+=)/gm, '');
  const kept = { DATA_DIR: folder };
  expect(loadConfig({ ...parseEnv(example), ...kept })).toEqual(loadConfig(kept));
});
