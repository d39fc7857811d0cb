import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { ADMIN } from '../support/app.js';
import { Client } from '../support/client.js';
import { etagOf, makeCollection, makeRecord, must, readAll } from '../support/collections.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { endPrograms, expectUnharmed, productionSettings, startMain, startMigrate } from '../support/process.js';
import { lines, NDJSON } from '../support/uploads.js';

/** Two ordinary roles: one owns the database and migrates, the other serves. */
const OWNER = `owner_${randomBytes(4).toString('hex')}`;
const SERVER = `server-${randomBytes(4).toString('hex')}`;
const INSUFFICIENT_PRIVILEGE = '42501';

let database: TestDatabase;
let urls: { owner: string; server: string };
beforeAll(async () => {
  database = await createDatabase();
  await database.query(`CREATE ROLE ${OWNER} LOGIN PASSWORD 'of-the-owner'`);
  await database.query(`CREATE ROLE "${SERVER}" LOGIN PASSWORD 'of-the-server'`);
  await database.query(`ALTER DATABASE ${new URL(database.url).pathname.slice(1)} OWNER TO ${OWNER}`);
  const as = (username: string, password: string) => Object.assign(new URL(database.url), { username, password }).href;
  urls = { owner: as(OWNER, 'of-the-owner'), server: as(SERVER, 'of-the-server') };
});
afterEach(endPrograms);
afterAll(async () => {
  await database?.query(`DROP OWNED BY "${SERVER}"; DROP OWNED BY ${OWNER} CASCADE`);
  await database?.query(`REASSIGN OWNED BY ${OWNER} TO current_user`);
  await database?.query(`DROP ROLE "${SERVER}"; DROP ROLE ${OWNER}`);
  await database?.drop();
});

const migrate = () => startMigrate({ ...productionSettings(urls.server), DATABASE_MIGRATION_URL: urls.owner });
const serve = () =>
  startMain({
    ...productionSettings(urls.server),
    MIGRATE_ON_START: 'false',
    ADMIN_EMAIL: ADMIN.email,
    ADMIN_PASSWORD: ADMIN.password,
  });

/** The error code that one of the roles gets. */
async function ask(role: keyof typeof urls, text: string): Promise<string | undefined> {
  const client = new pg.Client({ connectionString: urls[role] });
  await client.connect();
  try {
    await client.query(text);
    return undefined;
  } catch (error) {
    return (error as pg.DatabaseError).code;
  } finally {
    await client.end();
  }
}

it('the role that serves cannot migrate', async () => {
  const refused = startMigrate(productionSettings(urls.server));
  expect(await refused.end()).toEqual({ code: 1, signal: null });
  expect(refused.stderr).toMatch(/^[^\n]*permission denied for schema public[^\n]*\n$/);
});

it('serves everything as a role that owns nothing, once another role has migrated', async () => {
  expect(await migrate().end()).toEqual({ code: 0, signal: null });
  const program = serve();
  const anyone = new Client(await program.url());
  for (const deadline = Date.now() + 10_000; Date.now() < deadline; )
    if ((await anyone.get('/health/ready')).status === 200) break;
  const admin = await anyone.signIn(ADMIN.email, ADMIN.password);
  const ada = { email: 'ada@example.com', password: 'a-password-of-hers', name: 'Ada' };
  must(201, await anyone.post('/api/v1/auth/register', ada));
  const user = await anyone.signIn(ada.email, ada.password);
  const set = await makeCollection(user, 'public', 'of-roles');
  const { path } = await makeRecord(user, set, { n: 1 });
  must(201, await user.post(set.records, { data: { n: 2 } }, { 'idempotency-key': 'of roles' }));
  must(200, await user.post(`${set.records}/bulk`, lines(3, 5), NDJSON));
  must(200, await user.patch(path, { data: { n: 5 } }, { 'if-match': etagOf(await user.get(path)) }));
  expect(await readAll(user, set.records)).toHaveLength(5);
  must(204, await user.delete(path, { 'if-match': etagOf(await user.get(path)) }));
  must(204, await user.delete(set.path, { 'if-match': etagOf(await user.get(set.path)) }));
  must(200, await admin.get('/api/v1/users'));
  must(200, await user.post('/api/v1/auth/refresh', { refreshToken: user.tokens?.refreshToken }));
  expectUnharmed(program);
});

it.each([
  'CREATE TABLE more (n integer)',
  'ALTER TABLE users ADD COLUMN more integer',
  'DROP TABLE users',
  'TRUNCATE users',
  'CREATE INDEX ON users (name)',
  'CREATE FUNCTION more() RETURNS integer RETURN 1',
  'ALTER TABLE users DISABLE TRIGGER ALL',
  'DELETE FROM migrations',
  `SET ROLE ${OWNER}`,
])('the role that serves cannot: %s', async (text) => {
  expect(await ask('server', text)).toBe(INSUFFICIENT_PRIVILEGE);
});

it('the role that serves gets its rights to later tables from a migration run, which changes nothing when none are missing', async () => {
  await ask('owner', 'CREATE TABLE later (id bigserial PRIMARY KEY)');
  const write = 'INSERT INTO later DEFAULT VALUES';
  expect(await ask('server', write)).toBe(INSUFFICIENT_PRIVILEGE);
  const version = `SELECT xmin::text FROM pg_class WHERE relname = 'later'`;
  expect(await migrate().end()).toEqual({ code: 0, signal: null });
  expect(await ask('server', write)).toBeUndefined();
  const before = await database.query(version);
  expect(await migrate().end()).toEqual({ code: 0, signal: null });
  expect(await database.query(version)).toEqual(before);
});
