import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { load } from 'js-yaml';
import { ADMIN } from '../support/app.js';
import { Client, type Response } from '../support/client.js';
import { etagOf, makeCollection, makeRecord, must, readAll, until } from '../support/collections.js';
import { createDatabase } from '../support/database.js';
import { deployedPooler, TestPooler } from '../support/pooler.js';
import {
  endPrograms,
  expectUnharmed,
  type Program,
  pause,
  productionSettings,
  startMain,
  startMigrate,
} from '../support/process.js';
import { describeWith } from '../support/program.js';
import { TestServer } from '../support/standby.js';
import { lines, NDJSON } from '../support/uploads.js';

/** Fewer than the app opens to PgBouncer, so that statements run on connections with other prepared statements. */
const SERVER_CONNECTIONS = '3';
const AT_ONCE = 8;
/** The time until it serves again, in seconds: PgBouncer checks every second for a lost server. */
const SOON_S = 8;

/** The manifest's statements for the role that serves, with another name. */
function roleSettings(role: string): string[] {
  const text = readFileSync('k8s/components/postgres/cluster.yaml', 'utf8');
  const cluster = load(text) as { spec: { bootstrap: { initdb: { postInitApplicationSQL: string[] } } } };
  return cluster.spec.bootstrap.initdb.postInitApplicationSQL.map((line) => line.replace('floodgate_app', role));
}

let people = 0;

/** Everything that a user does, from registering to deleting the account. */
async function walk(anyone: Client): Promise<void> {
  const number = ++people;
  const email = `walker-${number}@example.com`;
  const password = 'a-password-of-theirs';
  must(201, await anyone.post('/api/v1/auth/register', { email, password, name: 'Walker' }));
  const user = await anyone.signIn(email, password);
  must(409, await anyone.post('/api/v1/auth/register', { email, password, name: 'Walker' }));
  const { refreshToken: spent } = user.tokens as { refreshToken: string };
  const { refreshToken } = must(200, await anyone.post('/api/v1/auth/refresh', { refreshToken: spent })).body;
  const set = await makeCollection(user, number % 2 ? 'public' : 'private', `walk-${number}`);
  const first = await makeRecord(user, set, { n: 0 }, '2001-01-01T00:00:00Z');
  const key = () => ({ 'idempotency-key': randomBytes(9).toString('hex') });
  const once = key();
  const made = must(201, await user.post(set.records, { data: { n: 1 } }, once));
  const again = must(201, await user.post(set.records, { data: { n: 1 } }, once));
  expect([again.text, again.headers.get('idempotency-replayed')]).toEqual([made.text, 'true']);
  must(422, await user.post(set.records, { data: { n: 2 } }, once));
  const bulk = `${set.records}/bulk`;
  const upload = key();
  for (const headers of [{}, upload, upload])
    expect(must(200, await user.post(bulk, [{ data: { n: 2 } }, { data: 1 }], headers)).body.inserted).toBe(1);
  expect(must(200, await user.post(bulk, lines(10, 19), NDJSON)).body.inserted).toBe(10);
  const atomic = { ...NDJSON, ...key() };
  for (let time = 0; time < 2; time++)
    expect(must(200, await user.post(`${bulk}?atomic=true`, lines(20, 29), atomic)).body.inserted).toBe(10);
  must(422, await user.post(`${bulk}?atomic=true`, `${lines(30, 39)}{}\n`, NDJSON));
  // 2 were made one by one, and 2, 10 and 10 in bulk.
  const items = await readAll(user, `${set.records}?limit=5`);
  expect(items).toHaveLength(24);
  expect(must(200, await user.get(`${set.records}?order=asc&to=2002-01-01T00:00:00Z`)).body.items).toHaveLength(1);
  expect(must(200, await user.get(`${set.records}?where=${encodeURIComponent('{"n":2}')}`)).body.items).toHaveLength(2);
  expect((await user.get(`${set.records}/export`)).text.trim().split('\n')).toHaveLength(24);
  for (let time = 0; time < 2; time++) {
    const stats = must(200, await user.get(`${set.path}/stats?bucket=month&by=n`)).body;
    expect(stats.total).toEqual({ count: 24, isEstimate: false });
  }
  expect(must(200, await user.get(first.path)).body.data).toEqual({ n: 0 });
  const replaced = must(200, await user.put(first.path, { data: { n: 3 } }, { 'if-match': first.etag }));
  must(412, await user.put(first.path, { data: { n: 4 } }, { 'if-match': first.etag }));
  const patched = must(200, await user.patch(first.path, { data: { m: 1 } }, { 'if-match': etagOf(replaced) }));
  expect(must(200, await user.get(first.path)).body).toMatchObject({ data: { n: 3, m: 1 }, version: 3 });
  must(204, await user.delete(first.path, { 'if-match': etagOf(patched) }));
  must(404, await user.get(first.path));
  const own = `/api/v1/users/${user.userId}`;
  const etag = etagOf(must(200, await user.get(own)));
  const changed = must(200, await user.patch(own, { name: 'Changed' }, { 'if-match': etag }));
  must(204, await user.delete(set.path, { 'if-match': set.etag }));
  must(404, await user.get(set.records));
  must(204, await anyone.post('/api/v1/auth/logout', { refreshToken }));
  const last = await anyone.signIn(email, password);
  must(204, await last.delete(own, { 'if-match': etagOf(changed) }));
}

it('the page for operators has the settings of the manifest', () => {
  const [, text = ''] = /```ini\n([^`]+)```/.exec(readFileSync('docs/operations.md', 'utf8')) ?? [];
  const settings = Object.fromEntries([...text.matchAll(/^(\w+) = (.+)$/gm)].map(([, name, value]) => [name, value]));
  const { max_client_conn, default_pool_size, ...needed } = deployedPooler();
  expect(settings).toEqual(needed);
});

describeWith('pgbouncer', 'behind PgBouncer, as the manifests set it up', () => {
  let server: TestServer;
  let pooler: TestPooler;
  let program: Program;
  let anyone: Client;
  const role = 'pooled';
  beforeAll(async () => {
    server = await TestServer.start();
    const login = `ALTER ROLE ${role} LOGIN PASSWORD 'of-the-pooled'`;
    for (const statement of [...roleSettings(role), login]) await server.query(statement);
    const direct = new URL(server.url);
    Object.assign(direct, { username: role, password: 'of-the-pooled' });
    pooler = await TestPooler.start(direct.href, { ...deployedPooler(), default_pool_size: SERVER_CONNECTIONS });
    const migrated = startMigrate({ ...productionSettings(pooler.url), DATABASE_MIGRATION_URL: server.url });
    expect(await migrated.end()).toEqual({ code: 0, signal: null });
    program = startMain({
      ...productionSettings(pooler.url),
      MIGRATE_ON_START: 'false',
      ADMIN_EMAIL: ADMIN.email,
      ADMIN_PASSWORD: ADMIN.password,
    });
    anyone = new Client(await program.url());
  }, 60_000);
  afterAll(async () => {
    await endPrograms();
    await pooler?.close();
    await server.drop();
  });

  it('serves everything that a user does, for many at once on few connections', async () => {
    for (let round = 0; round < 3; round++) await Promise.all(Array.from({ length: AT_ONCE }, () => walk(anyone)));
    const [{ count } = { count: 0 }] = await server.query<{ count: number }>(
      'SELECT count(*)::int AS count FROM pg_stat_activity WHERE usename = $1',
      [role],
    );
    expect(count).toBe(Number(SERVER_CONNECTIONS));
    expectUnharmed(program);
  }, 120_000);

  /** Keeps sending different requests: each gets an answer, and afterwards everything works as before. */
  async function expectPassing(trouble: () => Promise<void>): Promise<void> {
    const admin = await anyone.signIn(ADMIN.email, ADMIN.password);
    const set = await makeCollection(admin, 'private', `trouble-${randomBytes(4).toString('hex')}`);
    const answers: Response[] = [];
    let isOver = false;
    const repeat = async (ask: () => Promise<Response | undefined>) => {
      for (; !isOver; await pause(20)) answers.push(...[(await ask()) ?? []].flat());
    };
    const work = [
      () => admin.post(set.records, { data: {} }),
      () => admin.post(`${set.records}/bulk`, [{ data: {} }]),
      () => admin.get(set.records),
      () => admin.get(`${set.path}/stats?bucket=day`),
      // An export that has begun can only be cut off.
      () => admin.get(`${set.records}/export`).catch(() => undefined),
      () => admin.get('/api/v1/users?limit=1'),
    ].map(repeat);
    await pause(500);
    await trouble();
    await until(async () => (await admin.post(set.records, { data: {} })).status === 201, SOON_S);
    isOver = true;
    await Promise.all(work);
    const refused = answers.filter(({ status }) => status > 201);
    expect(refused.length).toBeGreaterThan(0);
    for (const { status, headers } of refused) expect([status, headers.has('retry-after')]).toEqual([503, true]);
    await until(async () => (await anyone.get('/health/ready')).body.status === 'ok');
    await Promise.all(Array.from({ length: AT_ONCE }, () => walk(anyone)));
    expectUnharmed(program);
  }

  it('survives two restarts of PgBouncer', async () => {
    await expectPassing(async () => {
      for (let time = 0; time < 2; time++) {
        await pooler.kill();
        await pause(1500);
        await pooler.start();
        await pause(500);
      }
    });
  }, 120_000);

  it('survives PostgreSQL being killed and restarted', async () => {
    await expectPassing(async () => {
      server.kill();
      await pause(2000);
      await server.restart();
    });
  }, 120_000);

  it('migrates through PgBouncer, too, and leaves no lock behind', async () => {
    const fresh = await createDatabase();
    const lent = await TestPooler.start(fresh.url, deployedPooler());
    try {
      for (const url of [lent.url, lent.url, fresh.url]) {
        const migration = startMigrate({ ...productionSettings(url), MIGRATION_WAIT_MS: '1000' });
        expect([await migration.end(), migration.stderr]).toEqual([{ code: 0, signal: null }, '']);
      }
      expect(
        await fresh.query(`SELECT FROM pg_locks WHERE locktype = 'advisory' AND database =
        (SELECT oid FROM pg_database WHERE datname = current_database())`),
      ).toEqual([]);
    } finally {
      await lent.close();
      await fresh.drop();
    }
  });

  it.each(['options', 'statement_timeout'])('reports in one sentence that PgBouncer refuses %s', async (name) => {
    const { ignore_startup_parameters: all = '', ...others } = deployedPooler();
    const ignored = all.split(',').filter((each) => each !== name);
    const strict = await TestPooler.start(server.url, { ...others, ignore_startup_parameters: ignored.join(',') });
    try {
      const refused = startMain({ ...productionSettings(strict.url), DATABASE_MIGRATION_URL: server.url });
      expect(await refused.end()).toEqual({ code: 1, signal: null });
      expect(refused.stderr).toMatch(/^The database cannot be used: unsupported startup parameter[^\n]*\n$/);
    } finally {
      await strict.close();
    }
  });
});
