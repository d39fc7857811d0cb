import pg from 'pg';
import { atBoth, kindOf } from '../support/at-once.js';
import { Client, type Response } from '../support/client.js';
import { type MadeCollection, makeCollection, makeRecord, must, until } from '../support/collections.js';
import { type Forwarder, forward } from '../support/forwarder.js';
import { expectProblem } from '../support/problem.js';
import { expectUnharmed } from '../support/process.js';
import { type Replicas, startReplicas } from '../support/replicas.js';
import { inMs, row } from '../support/row.js';
import { lines, NDJSON, tally, untilFree } from '../support/uploads.js';

const LEASE_MS = 1000;
const QUERY_TIMEOUT_MS = 1500;

let two: Replicas;
let ada: Client;
let toApp: Forwarder;
let set: MadeCollection;
beforeAll(async () => {
  two = await startReplicas({
    IDEMPOTENCY_LEASE_MS: String(LEASE_MS),
    SESSION_CHECK_MS: '5000',
    DATABASE_QUERY_TIMEOUT_MS: String(QUERY_TIMEOUT_MS),
  });
  ada = await two.user();
  toApp = await forward(two.here.anyone.url);
  // The COMMIT whose number is in `lost` has done all its work, and then waits for the lock.
  const trigger = (on: string) => `
    CREATE CONSTRAINT TRIGGER wait_at_commit AFTER ${on} DEFERRABLE INITIALLY DEFERRED
      FOR EACH ROW EXECUTE FUNCTION wait_at_commit();`;
  await two.database.query(`
    CREATE SEQUENCE commits;
    CREATE TABLE lost AS SELECT 0::bigint AS number;
    CREATE FUNCTION wait_at_commit() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        -- A lease is renewed as often as the upload takes time.
        IF to_jsonb(OLD) - 'held_until' = to_jsonb(NEW) - 'held_until' THEN RETURN NULL; END IF;
        IF nextval('commits') = (SELECT number FROM lost) THEN PERFORM pg_advisory_xact_lock(19); END IF;
        RETURN NULL;
      END $$;
    ${trigger('INSERT OR UPDATE ON idempotency_keys')} ${trigger('UPDATE ON records')}
    ${trigger('UPDATE ON collections')} ${trigger('UPDATE OR DELETE ON users')} ${trigger('DELETE ON sessions')}`);
}, 60_000);
beforeEach(async () => {
  set = await makeCollection(ada);
});
afterEach(() => expectUnharmed(two.here.program, two.there.program));
afterAll(async () => {
  await toApp?.close();
  await two?.close();
});

let keys = 0;
const freshKey = () => ({ 'idempotency-key': `key ${++keys}` });

/**
 * The answer to a request whose COMMIT PostgreSQL makes, though the app never learns of it.
 * @param number of that COMMIT among all of the request
 * @param how whether the connection is reset or stays silent
 */
async function losing(number: number, how: 'reset' | 'silence', ask: () => Promise<Response>): Promise<Response> {
  const { toDatabase } = two.here;
  const waiting = (isGranted: boolean) => async () =>
    (
      await two.database.query(
        `SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 19 AND granted = $1 AND database =
           (SELECT oid FROM pg_database WHERE datname = current_database())`,
        [isGranted],
      )
    ).length > 0;
  await two.database.query('ALTER SEQUENCE commits RESTART');
  await two.database.query('UPDATE lost SET number = $1', [number]);
  const holder = new pg.Client({ connectionString: two.database.url });
  await holder.connect();
  await holder.query('SELECT pg_advisory_lock(19)');
  const answer = ask();
  try {
    await until(waiting(false));
    toDatabase.hold('answers');
  } finally {
    await holder.end();
  }
  // The transaction holds the lock until it is committed.
  await until(async () => !(await waiting(true)()) && !(await waiting(false)()));
  if (how === 'reset') toDatabase.reset();
  else await answer;
  toDatabase.release();
  return answer;
}

/** Expects both replicas to replay the same answer now. */
async function expectSame(status: number, ask: (client: Client) => Promise<Response>): Promise<Response> {
  const answers = [];
  for (const client of atBoth(two, ada)) answers.push(await untilFree(() => ask(client)));
  expect(answers.map(kindOf)).toEqual([`${status} again`, `${status} again`]);
  expect(answers[1]?.text).toBe(answers[0]?.text);
  return answers[0] as Response;
}

row(19, 'on the way to the caller', async () => {
  const caller = new Client(toApp.url.replace(/\/$/, ''), ada.tokens);
  const count = 20;
  const asked = Array.from({ length: count }, (_, n) => [{ data: { n } }, freshKey()] as const);
  must(200, await caller.get(set.path));
  toApp.hold('answers');
  const unheard = asked.map(([body, key]) => caller.post(set.records, body, key).catch(() => 'cut'));
  await until(async () => (await tally(two.database, set))[0] === count);
  toApp.reset();
  toApp.release();
  expect(new Set(await Promise.all(unheard))).toEqual(new Set(['cut']));
  for (const [body, key] of asked) {
    const again = await expectSame(201, (client) => client.post(set.records, body, key));
    expect(again.body).toEqual((await ada.get(again.headers.get('location') as string)).body);
  }
  expect(await tally(two.database, set)).toEqual([count, count]);
  return { 'answers lost': count, 'told again': 2 * count };
});

for (const how of ['reset', 'silence'] as const) {
  row(19, `between PostgreSQL and the app, by ${how}`, async () => {
    const key = freshKey();
    const make = (client: Client) => client.post(set.records, { data: { n: 1 } }, key);
    const began = Date.now();
    expectProblem(await losing(1, how, () => make(ada)), 'temporary-reduced-capacity');
    const tookMs = Date.now() - began;
    const again = await expectSame(201, make);
    expect(again.body).toEqual((await ada.get(again.headers.get('location') as string)).body);
    expect(await tally(two.database, set)).toEqual([1, 1]);
    // The late answer was not taken as the answer to another statement.
    for (let n = 2; n <= 30; n++) {
      expect((await ada.post(set.records, { data: { n } }, freshKey())).body.data).toEqual({ n });
    }
    return { 'given up after': inMs(tookMs) };
  });
}

/** An upload of three batches, each of which commits; its key is claimed before them, and its answer is stored after them. */
row(19, 'between PostgreSQL and the app, for each COMMIT of an upload', async () => {
  const text = `${lines(1, 6000)}{"data":1}\n${lines(6001, 12_000)}`;
  const kinds: string[] = [];
  for (const [query, commits] of [
    ['', 5],
    ['?atomic=true', 2],
  ] as const) {
    for (let number = 1; number <= commits; number++) {
      const target = await makeCollection(ada);
      const key = freshKey();
      const body = query ? lines(1, 12_000) : text;
      const load = (client: Client) => client.post(`${target.records}/bulk${query}`, body, { ...NDJSON, ...key });
      expectProblem(await losing(number, 'reset', () => load(ada)), 'temporary-reduced-capacity');
      const retried = must(200, await untilFree(() => load(ada)));
      expect(retried.body).toMatchObject({ inserted: 12_000, failed: query ? 0 : 1 });
      expect((await expectSame(200, load)).text).toBe(retried.text);
      expect(await tally(two.database, target)).toEqual([12_000, 12_000]);
      kinds.push(kindOf(retried));
    }
  }
  // The retry had nothing left to do only when everything was committed.
  expect(kinds).toEqual(['200', '200', '200', '200', '200 again', '200', '200 again']);
  return { 'COMMITs lost': kinds.length, 'rows of each upload': 12_000 };
});

row(19, 'between PostgreSQL and the app, for a change, as its entity tag shows', async () => {
  const { path, etag } = await makeRecord(ada, set);
  for (const client of atBoth(two, ada)) must(200, await client.get(path));
  const change = (client: Client) => client.patch(path, { data: { n: 1 } }, { 'if-match': etag });
  expectProblem(await losing(1, 'reset', () => change(ada)), 'temporary-reduced-capacity');
  const lostAt = Date.now();
  for (const client of atBoth(two, ada)) {
    expectProblem(await change(client), 'precondition-failed');
    await until(async () => (await client.get(path)).body.data.n === 1, 1);
  }
  return { 'seen everywhere after': inMs(Date.now() - lostAt) };
});

row(19, 'between PostgreSQL and the app, for every other kind of cached data', async () => {
  const ifMatch = { 'if-match': '*' };
  const pathOf = ({ userId }: Client) => `/api/v1/users/${userId}`;
  const signOut = ({ tokens }: Client) =>
    two.here.anyone.post('/api/v1/auth/logout', { refreshToken: tokens?.refreshToken });
  const isIn = async (client: Client) => (await client.get('/api/v1/data')).status;
  const shown = async (client: Client) => (await new Client(client.url).get(set.path)).status;
  const named = async (client: Client) => (await client.get(pathOf(client))).body.name;
  /** A read, its results before and after the change, and the change. */
  const changes: [(user: Client) => Promise<unknown>, unknown, unknown, (user: Client) => Promise<Response>][] = [
    [named, 'U', 'New', (user) => user.patch(pathOf(user), { name: 'New' }, ifMatch)],
    [isIn, 200, 401, (user) => two.admin.patch(pathOf(user), { disabled: true }, ifMatch)],
    [isIn, 200, 401, (user) => two.admin.delete(pathOf(user), ifMatch)],
    [isIn, 200, 401, signOut],
    [shown, 200, 404, () => ada.put(set.path, { visibility: 'private' }, ifMatch)],
  ];
  for (const [read, before, after, change] of changes) {
    const user = await two.user();
    for (const client of [...atBoth(two, user), ...atBoth(two, user)]) expect(await read(client)).toBe(before);
    expectProblem(await losing(1, 'reset', () => change(user)), 'temporary-reduced-capacity');
    for (const client of atBoth(two, user)) await until(async () => (await read(client)) === after, 1);
  }
  return { changes: changes.length };
});
