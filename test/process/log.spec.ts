import { until } from '../support/answers.js';
import { ADMIN } from '../support/app.js';
import { Client } from '../support/client.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { endPrograms, type Program, productionSettings, startMain } from '../support/process.js';

let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase();
});
afterEach(endPrograms);
afterAll(() => database?.drop());

async function start(settings: Record<string, string> = {}): Promise<{ program: Program; client: Client }> {
  const program = startMain({
    ...productionSettings(database.url),
    ADMIN_EMAIL: ADMIN.email,
    ADMIN_PASSWORD: ADMIN.password,
    ...settings,
  });
  return { program, client: new Client(await program.url()) };
}

// biome-ignore lint/suspicious/noExplicitAny: a log line may hold anything
const entries = (program: Program): any[] =>
  program.stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

/** The access log's line of a request. */
const entryOf = async (program: Program, id: string) => {
  await program.says(new RegExp(`"id":"${id}"`));
  return entries(program).find((entry) => entry.http?.request.id === id);
};

describe('in production the log', () => {
  it('is one JSON object a line in the Elastic Common Schema, a line for each request', async () => {
    const { program, client } = await start();
    const admin = await client.signIn(ADMIN.email, ADMIN.password);
    await admin.get('/api/v1/users/me?secret=1', { 'x-request-id': 'the-request' });
    const entry = await entryOf(program, 'the-request');
    expect(entry).toMatchObject({
      '@timestamp': expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      'log.level': 'info',
      'ecs.version': expect.stringMatching(/^\d+\.\d+/),
      'service.name': 'floodgate',
      message: expect.stringMatching(/^GET \/api\/v1\/users\/me \d{3}/),
      http: { request: { method: 'GET' }, response: { status_code: expect.any(Number) } },
      url: { path: '/api/v1/users/me' },
      client: { ip: '127.0.0.1' },
      event: { duration: expect.any(Number) },
      user: { id: admin.userId },
    });
    for (const each of entries(program))
      expect(each).toMatchObject({ '@timestamp': expect.any(String), 'ecs.version': expect.any(String) });
    expect(program.stdout).not.toContain('secret=1');
  });

  it('has no lines for successful probes and scrapes', async () => {
    const { program, client } = await start();
    await client.get('/health/live', { 'x-request-id': 'a-probe' });
    await client.get('/metrics', { 'x-request-id': 'a-scrape' });
    await client.get('/nowhere', { 'x-request-id': 'a-request' });
    await program.says(/a-request/);
    expect(program.stdout).not.toMatch(/a-probe|a-scrape/);
  });

  it('never has a password, a token, a cookie or a key, even of failed requests', async () => {
    const { program, client } = await start({ LOG_LEVEL: 'trace' });
    const secrets = ['a-registered-password', 'a-wrong-password', 'a-cookie-value', 'a-foreign-token'];
    const cookie = { cookie: 'session=a-cookie-value' };
    const user = { email: 'someone@example.com', password: 'a-registered-password', name: 'Someone' };
    await client.post('/api/v1/auth/register', user, cookie);
    await client.post('/api/v1/auth/login', { ...user, password: 'a-wrong-password' }, cookie);
    await client.get('/api/v1/users/me', { ...cookie, authorization: 'Bearer a-foreign-token' });
    const admin = await client.signIn(ADMIN.email, ADMIN.password);
    await client.post('/api/v1/auth/refresh', { refreshToken: 'a-foreign-token' });
    // Now statements with secrets fail in the database: the log has the failures, but not the secrets.
    await database.query('ALTER TABLE sessions RENAME TO gone');
    await database.query('ALTER TABLE users ADD CONSTRAINT nobody CHECK (name <> $$Nobody$$)');
    try {
      const failed = [
        await client.post('/api/v1/auth/login', { email: ADMIN.email, password: ADMIN.password }, cookie),
        await client.post('/api/v1/auth/refresh', { refreshToken: admin.tokens?.refreshToken }, cookie),
        await client.post('/api/v1/auth/register', { ...user, email: 'x@example.com', name: 'Nobody' }),
      ];
      expect(failed.map(({ status }) => status)).toEqual([500, 500, 500]);
      const id = failed[2]?.headers.get('x-request-id') as string;
      await entryOf(program, id);
    } finally {
      await database.query('ALTER TABLE gone RENAME TO sessions');
      await database.query('ALTER TABLE users DROP CONSTRAINT nobody');
    }
    const errors = entries(program).filter((entry) => entry['log.level'] === 'error');
    expect(errors).toHaveLength(3);
    for (const entry of errors) expect(entry.error).toMatchObject({ message: expect.any(String) });
    const { accessToken = '', refreshToken = '' } = admin.tokens ?? {};
    const { APP_SECRET = '', JWT_PRIVATE_KEY = '' } = productionSettings(database.url);
    secrets.push(ADMIN.password, accessToken, refreshToken, APP_SECRET, new URL(database.url).password);
    secrets.push(JWT_PRIVATE_KEY.split('\n')[1] as string, '$argon2');
    for (const secret of secrets) {
      expect(secret.length).toBeGreaterThan(5);
      expect(program.stdout + program.stderr).not.toContain(secret);
    }
  });

  it('loses, splits and mixes up no lines when many are written at once, some of them long', async () => {
    const { program, client } = await start();
    const ids = Array.from({ length: 600 }, (_, index) => `one-of-many-${index}`);
    const path = (index: number) => `/${'a'.repeat(index % 10 ? index : 6000)}`;
    await Promise.all(ids.map((id, index) => client.get(path(index), { 'x-request-id': id })));
    program.signal('SIGTERM');
    await program.end();
    const paths = new Map(entries(program).map((entry) => [entry.http?.request.id, entry.url?.path]));
    expect(ids.map((id) => paths.get(id))).toEqual(ids.map((_, index) => path(index)));
  });

  it('stays on one line, whatever a caller sends', async () => {
    const { program, client } = await start();
    await client.get('/nowhere/%0a%7B"log.level":"error"%7D', { 'x-request-id': 'a-forger' });
    const entry = await entryOf(program, 'a-forger');
    expect(entry['log.level']).toBe('info');
  });
});

it.each(['ecs', 'pretty'])(
  'reports a refused request in one line and a failure with its place in the code, in %s',
  async (format) => {
    const { program, client } = await start({
      LOG_FORMAT: format,
      PASSWORD_HASH_CONCURRENCY: '1',
      PASSWORD_HASH_QUEUE: '1',
    });
    const wrong = { email: ADMIN.email, password: 'wrong' };
    const tries = await Promise.all(Array.from({ length: 30 }, () => client.post('/api/v1/auth/login', wrong)));
    const refused = tries.filter(({ status }) => status === 503).length;
    expect(refused).toBeGreaterThan(0);
    await until(async () => program.stdout.split('answered 503').length > refused);
    const isOfStack = (line: string) => /^\s+at |\\n +at /.test(line);
    const before = program.stdout.trimEnd().split('\n');
    expect(before.filter((line) => line.includes('answered 503: Too many passwords'))).toHaveLength(refused);
    expect(before.filter((line) => isOfStack(line) || !/^[[{]/.test(line))).toEqual([]);
    await database.query('ALTER TABLE collections RENAME TO gone');
    try {
      expect((await client.get('/api/v1/data')).status).toBe(500);
    } finally {
      await database.query('ALTER TABLE gone RENAME TO collections');
    }
    await program.says(/answered 500/);
    expect(program.stdout.split('\n').some(isOfStack)).toBe(true);
  },
);

describe("the caller's address", () => {
  const FORGED = { 'x-forwarded-for': '203.0.113.7' };

  it('is that of the connection, whatever X-Forwarded-For says', async () => {
    const { program, client } = await start();
    await client.get('/nowhere', { ...FORGED, 'x-request-id': 'forged' });
    expect((await entryOf(program, 'forged')).client.ip).toBe('127.0.0.1');
  });

  it('is the one that a proxy of TRUST_PROXY states', async () => {
    const { program, client } = await start({ TRUST_PROXY: '10.0.0.0/8,127.0.0.1' });
    await client.get('/nowhere', { ...FORGED, 'x-request-id': 'believed' });
    expect((await entryOf(program, 'believed')).client.ip).toBe('203.0.113.7');
    await client.get('/nowhere', {
      'x-forwarded-for': '198.51.100.1, 203.0.113.7, 10.1.2.3',
      'x-request-id': 'chained',
    });
    expect((await entryOf(program, 'chained')).client.ip).toBe('203.0.113.7');
  });

  it('is the one that the last of the trusted number of proxies states, as the start logs', async () => {
    const { program, client } = await start({ TRUST_PROXY: '1' });
    await client.get('/nowhere', { 'x-forwarded-for': '203.0.113.7, 10.1.2.3', 'x-request-id': 'counted' });
    expect((await entryOf(program, 'counted')).client.ip).toBe('10.1.2.3');
    const said = entries(program).filter(({ message }) => message.startsWith('X-Forwarded-For is trusted from'));
    expect(said.map(({ message }) => message)).toEqual([expect.stringContaining('the one proxy in front')]);
  });

  it('is that of the connection when the request is not from a proxy of TRUST_PROXY', async () => {
    const { program, client } = await start({ TRUST_PROXY: '10.0.0.0/8' });
    await client.get('/nowhere', { ...FORGED, 'x-request-id': 'stranger' });
    expect((await entryOf(program, 'stranger')).client.ip).toBe('127.0.0.1');
  });
});
