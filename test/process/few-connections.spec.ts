import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { ADMIN } from '../support/app.js';
import { Client } from '../support/client.js';
import { makeCollection, must, until } from '../support/collections.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { endPrograms, pause, productionSettings, startMain } from '../support/process.js';
import { TestServer } from '../support/standby.js';

const BURSTS = 5;
const AT_ONCE = 8;

afterEach(endPrograms);

/** A started process with a signed-in admin and a collection. */
async function start(url: string, settings: Record<string, string> = {}) {
  const program = startMain({
    ...productionSettings(url),
    ADMIN_EMAIL: ADMIN.email,
    ADMIN_PASSWORD: ADMIN.password,
    CACHE_TTL_MS: '0',
    ...settings,
  });
  const admin = await new Client(await program.url()).signIn(ADMIN.email, ADMIN.password);
  return { program, admin, set: await makeCollection(admin, 'public', `c${randomBytes(4).toString('hex')}`) };
}

/** Sends bursts of all kinds of requests, and expects none to be refused. */
async function expectServed({ admin, set }: Awaited<ReturnType<typeof start>>): Promise<void> {
  for (let burst = 0; burst < BURSTS; burst++) {
    const asked = Array.from({ length: AT_ONCE }, () => [
      admin.post(set.records, { data: {} }),
      admin.get(set.path),
      admin.get(set.records),
      admin.get('/api/v1/data'),
    ]).flat();
    for (const answer of await Promise.all(asked)) expect(answer.status).toBeLessThan(300);
  }
}

describe.each([3, 4, 6])('a role that may open %d connections', (limit) => {
  let database: TestDatabase;
  const role = `few_${randomBytes(4).toString('hex')}`;
  beforeAll(async () => {
    database = await createDatabase();
    await database.query(`CREATE ROLE ${role} LOGIN PASSWORD 'of-the-few' CONNECTION LIMIT ${limit}`);
    await database.query(`GRANT ALL ON SCHEMA public TO ${role}; CREATE SCHEMA pgboss AUTHORIZATION ${role}`);
  });
  afterAll(async () => {
    await database.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    await database?.drop();
  });

  it('serves everything: a request whose new connection is refused waits for an open one', async () => {
    const url = new URL(database.url);
    Object.assign(url, { username: role, password: 'of-the-few' });
    // Jobs need a connection beside those of requests and of the watch.
    const one = await start(url.href, limit === 3 ? { WORKER: 'off' } : {});
    await expectServed(one);
    expect(one.program.stderr).toBe('');
  });
});

it('serves with the few connections that others leave, and reports that PostgreSQL refuses more', async () => {
  const server = await TestServer.start();
  const held: pg.Client[] = [];
  try {
    await server.query('ALTER SYSTEM SET max_connections = 20');
    await server.query('ALTER SYSTEM SET superuser_reserved_connections = 2');
    await server.stop();
    await server.restart();
    await server.query(
      `CREATE ROLE app LOGIN PASSWORD 'of-the-app'; GRANT ALL ON SCHEMA public TO app; GRANT CREATE ON DATABASE floodgate TO app`,
    );
    const url = new URL(server.url);
    Object.assign(url, { username: 'app', password: 'of-the-app' });
    const one = await start(url.href);
    const holdAll = async () => {
      for (;;) {
        const client = new pg.Client({ connectionString: url.href });
        client.on('error', () => {});
        try {
          await client.connect();
          held.push(client);
        } catch {
          return;
        }
      }
    };
    await holdAll();
    await expectServed(one);
    // Even when it has to reconnect. On a busy machine it may be faster than this test, which then ends its connections again.
    const anyone = new Client(one.admin.url);
    const ready = async () => (await anyone.get('/health/ready')).body;
    await until(async () => {
      await server.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'floodgate'`);
      await holdAll();
      await pause(1500);
      return (await ready()).checks.postgresql.message === 'refuses connections';
    }, 30);
    expect(await ready()).toMatchObject({
      status: 'degraded',
      checks: { postgresql: { message: 'refuses connections' } },
    });
    const waiting = one.admin.post(one.set.records, { data: {} });
    await Promise.all(held.splice(0).map((client) => client.end()));
    must(201, await waiting);
    await expectServed(one);
    await until(async () => (await ready()).status === 'ok');
  } finally {
    await Promise.all(held.map((client) => client.end().catch(() => {})));
    await endPrograms();
    await server.drop();
  }
}, 90_000);
