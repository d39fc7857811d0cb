import pg from 'pg';
import { type Alone, startAlone } from '../support/alone.js';
import { ADMIN } from '../support/app.js';
import type { Response } from '../support/client.js';
import { etagOf, makeCollection, makeRecord, must, until } from '../support/collections.js';
import { createDatabase } from '../support/database.js';
import { beforeCommit } from '../support/locks.js';
import { expectProblem } from '../support/problem.js';
import { expectUnharmed } from '../support/process.js';
import { row } from '../support/row.js';

/** The total number of attempts at a statement that is retried. */
const ATTEMPTS = 3;

let app: Alone;
beforeAll(async () => {
  const database = await createDatabase();
  // The app's transactions check for deadlocks earlier than the test's, so that PostgreSQL aborts those of the app.
  await database.query(`
    DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET deadlock_timeout = 300', current_database()); END $$;
    CREATE SEQUENCE tried;
    CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF nextval('tried') <= TG_ARGV[0]::int THEN RAISE 'as the test wants it' USING ERRCODE = TG_ARGV[1]; END IF;
      RETURN coalesce(NEW, OLD);
    END $$`);
  app = await startAlone({}, database);
}, 60_000);
afterAll(() => app?.close());

/** Makes PostgreSQL abort the first writes to a table. @returns the answer, and the number of attempts */
async function failing(table: string, times: number, code: string, ask: () => Promise<Response>) {
  await app.database.query(`
    ALTER SEQUENCE tried RESTART;
    CREATE TRIGGER fail BEFORE INSERT OR UPDATE OR DELETE ON ${table}
      FOR EACH ROW EXECUTE FUNCTION fail(${times}, '${code}')`);
  try {
    const answer = await ask();
    const [tried] = await app.database.query<{ n: number }>('SELECT last_value::int AS n FROM tried');
    return { answer, tried: tried?.n };
  } finally {
    await app.database.query(`DROP TRIGGER fail ON ${table}`);
  }
}

const numbers = async (collection: string) =>
  (
    await app.database.query<{ n: string }>(
      `SELECT data->>'n' AS n FROM records r JOIN collections c ON c.id = r.collection_id WHERE c.name = $1 ORDER BY 1`,
      [collection],
    )
  ).map(({ n }) => n);

/** Every kind of write with its table and its status on success; each works on a thing of its own. */
async function writes(): Promise<[what: string, table: string, status: number, ask: () => Promise<Response>][]> {
  const { admin, anyone } = app;
  const set = await makeCollection(admin, 'private');
  const of = async () => makeRecord(admin, set, { n: 'old' });
  const [changed, replaced, removed] = [await of(), await of(), await of()];
  const ifMatch = ({ etag }: { etag: string }) => ({ 'if-match': etag });
  const credentials = { email: `${set.name}@example.com`, password: 'a-password-of-a-user' };
  const own = `/api/v1/users/${admin.userId}`;
  const key = { 'idempotency-key': set.name };
  return [
    ['a creation', 'records', 201, () => admin.post(set.records, { data: { n: 'created' } })],
    ['with a key', 'idempotency_keys', 201, () => admin.post(set.records, { data: { n: 'keyed' } }, key)],
    ['a change', 'records', 200, () => admin.patch(changed.path, { data: { n: 'changed' } }, ifMatch(changed))],
    ['a replacement', 'records', 200, () => admin.put(replaced.path, { data: { n: 'new' } }, ifMatch(replaced))],
    ['a removal', 'records', 204, () => admin.delete(removed.path, ifMatch(removed))],
    ['an upload', 'records', 200, () => admin.post(`${set.records}/bulk`, [{ data: { n: 'uploaded' } }])],
    ['a collection', 'collections', 201, () => admin.put(`/api/v1/data/new-${set.name}`, { visibility: 'public' })],
    ['registering', 'users', 201, () => anyone.post('/api/v1/auth/register', { ...credentials, name: 'U' })],
    ['signing in', 'sessions', 200, () => anyone.post('/api/v1/auth/login', credentials)],
    [
      'a user',
      'users',
      200,
      async () => admin.patch(own, { name: set.name }, ifMatch({ etag: etagOf(await admin.get(own)) })),
    ],
  ];
}

const DONE = ['changed', 'created', 'keyed', 'new', 'uploaded'];

row(15, 'aborted twice, and then not', async () => {
  let requests = 0;
  for (const code of ['40P01', '40001']) {
    for (const [what, table, status, ask] of await writes()) {
      const { answer, tried } = await failing(table, ATTEMPTS - 1, code, ask);
      expect([what, code, answer.status, tried]).toEqual([what, code, status, ATTEMPTS]);
      requests++;
    }
  }
  const names = await app.database.query<{ name: string }>(`SELECT name FROM collections WHERE name ~ '^set-'`);
  for (const { name } of names) expect(await numbers(name)).toEqual(DONE);
  expectUnharmed(app.program);
  return { requests, 'tried each': ATTEMPTS };
});

row(15, 'aborted every time', async () => {
  const asked = await writes();
  for (const [what, table, , ask] of asked) {
    // The registration of the user who would sign in has failed before.
    const signIn = () => app.anyone.post('/api/v1/auth/login', ADMIN);
    const { answer, tried } = await failing(table, 100, '40001', what === 'signing in' ? signIn : ask);
    expect([what, answer.status, tried]).toEqual([what, 503, ATTEMPTS]);
    expectProblem(answer, 'temporary-reduced-capacity');
  }
  // Nothing was done: the repeated request takes effect once, with a key as well.
  for (const [what, , status, ask] of asked) expect([what, (await ask()).status]).toEqual([what, status]);
  const [set] = await app.database.query<{ name: string }>(
    `SELECT name FROM collections WHERE name ~ '^set-' ORDER BY id DESC LIMIT 1`,
  );
  expect(await numbers(set?.name as string)).toEqual(DONE);
  return { requests: asked.length, 'tried each': ATTEMPTS };
});

row(15, 'a real deadlock between a request and another transaction', async () => {
  const { admin, database } = app;
  const other = await newAdmin('b@example.com');
  const holder = new pg.Client({ connectionString: database.url });
  await holder.connect();
  await holder.query(`BEGIN; SET LOCAL deadlock_timeout = '20s'`);
  // An admin who changes another user locks both rows in the order of their ids: here the admin's own first.
  await holder.query('SELECT FROM users WHERE id = $1 FOR UPDATE', [other.id]);
  const demotion = admin.patch(other.path, { role: 'user' }, { 'if-match': other.etag });
  await until(
    async () =>
      (
        await database.query(
          `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`,
        )
      ).length === 1,
  );
  await holder.query('SELECT FROM users WHERE id = $1 FOR UPDATE', [admin.userId]);
  await holder.query('COMMIT');
  await holder.end();
  const { status, body } = await demotion;
  expect([status, body.role, body.version]).toEqual([200, 'user', 3]);
  await until(async () => (await deadlocks()) > 0);
  return { deadlocks: await deadlocks(), answered: status };
});

row(15, 'real deadlocks between requests', async () => {
  const { anyone, database } = app;
  const before = await deadlocks();
  const names = ['c', 'd'];
  const pair = await Promise.all(
    names.map(async (name) => {
      const { id } = await newUser(`${name}@example.com`);
      const client = await anyone.signIn(`${name}@example.com`, PASSWORD);
      return { client, path: `/api/v1/users/${id}` };
    }),
  );
  // The app takes its locks in one order; with this trigger, a change of one user then locks the other one, too.
  await database.query(`
    CREATE FUNCTION lock_other() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      PERFORM FROM users WHERE email IN ('c@example.com', 'd@example.com') AND id <> NEW.id FOR UPDATE;
      RETURN NEW;
    END $$;
    CREATE TRIGGER lock_other BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION lock_other()`);
  let rounds = 0;
  while ((await deadlocks()) === before && rounds < 100) {
    rounds++;
    const name = `Name ${rounds}`;
    const rename = pair.map(({ client, path }) => client.patch(path, { name }, { 'if-match': '*' }));
    for (const answer of await Promise.all(rename)) must(200, answer);
  }
  await database.query('DROP TRIGGER lock_other ON users');
  const met = (await deadlocks()) - before;
  expect(met).toBeGreaterThan(0);
  const versions = await app.database.query(
    `SELECT version FROM users WHERE email IN ('c@example.com', 'd@example.com')`,
  );
  expect(versions).toEqual([{ version: 1 + rounds }, { version: 1 + rounds }]);
  expectUnharmed(app.program);
  return { deadlocks: met, requests: 2 * rounds, 'answered 200': 2 * rounds };
});

row(15, 'real serialization failures', async () => {
  const database = await createDatabase();
  await database.query(`DO $$ BEGIN EXECUTE
    format('ALTER DATABASE %I SET default_transaction_isolation = serializable', current_database()); END $$`);
  const strict = await startAlone({}, database);
  try {
    const { admin, program } = strict;
    const { path, etag } = await makeRecord(admin, await makeCollection(admin, 'private', 'strict'), { n: 0 });
    const patch = (n: number) => admin.patch(path, { data: { n } }, { 'if-match': etag });
    const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => patch(n)));
    const statuses = answers.map(({ status }) => status).sort();
    expect(statuses).toEqual([200, ...new Array(19).fill(412)]);
    expect((await admin.get(path)).body.version).toBe(2);
    expectUnharmed(program);
    return { 'changes with one tag': 20, 'answered 200': 1, 'answered 412': 19 };
  } finally {
    await strict.close();
  }
});

it('lets two admins change each other at once without a deadlock', async () => {
  const database = await createDatabase();
  // In a deadlock both would wait until the lock time-out.
  await database.query(`DO $$ BEGIN EXECUTE
    format('ALTER DATABASE %I SET deadlock_timeout = 60000', current_database()); END $$`);
  const patient = await startAlone({ DATABASE_LOCK_TIMEOUT_MS: '3000' }, database);
  try {
    const { admin, anyone } = patient;
    const { id } = await newUser('e@example.com', anyone);
    const [own, path] = [`/api/v1/users/${admin.userId}`, `/api/v1/users/${id}`];
    must(200, await admin.patch(path, { role: 'admin' }, { 'if-match': '*' }));
    const other = await anyone.signIn('e@example.com', PASSWORD);
    const lock: [string, unknown[]] = ['SELECT FROM users WHERE id = $1 FOR UPDATE', [admin.userId]];
    for (let round = 0; round < 5; round++) {
      const change = () => [
        admin.patch(path, { name: `Name ${round}` }, { 'if-match': '*' }),
        other.patch(own, { name: `Name ${round}` }, { 'if-match': '*' }),
      ];
      for (const answer of await beforeCommit(database, [lock], 2, () => Promise.all(change()))) must(200, answer);
    }
  } finally {
    await patient.close();
  }
}, 60_000);

async function deadlocks(): Promise<number> {
  const [found] = await app.database.query<{ n: number }>(
    'SELECT deadlocks::int AS n FROM pg_stat_database WHERE datname = current_database()',
  );
  return found?.n ?? 0;
}

const PASSWORD = 'a-password-of-a-user';

async function newUser(email: string, anyone = app.anyone) {
  const { body } = must(201, await anyone.post('/api/v1/auth/register', { email, password: PASSWORD, name: 'A' }));
  return body;
}

async function newAdmin(email: string) {
  const { id } = await newUser(email);
  const path = `/api/v1/users/${id}`;
  const etag = etagOf(must(200, await app.admin.get(path)));
  const made = must(200, await app.admin.patch(path, { role: 'admin' }, { 'if-match': etag }));
  return { id, path, etag: etagOf(made) };
}
