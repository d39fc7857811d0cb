import pg from 'pg';
import { type Alone, startAlone } from '../support/alone.js';
import type { Response } from '../support/client.js';
import { etagOf, type MadeCollection, makeCollection, makeRecord, must, until } from '../support/collections.js';
import { expectProblem } from '../support/problem.js';
import { expectUnharmed } from '../support/process.js';
import { inMs, row } from '../support/row.js';

const LOCK_TIMEOUT_MS = 1000;
/** The time that a busy machine may take on top of the time-out. */
const MARGIN_MS = 1000;

let app: Alone;
let holder: pg.Client;
beforeAll(async () => {
  app = await startAlone({ DATABASE_LOCK_TIMEOUT_MS: String(LOCK_TIMEOUT_MS) });
  holder = new pg.Client({ connectionString: app.database.url });
  await holder.connect();
}, 60_000);
afterAll(async () => {
  await holder?.end();
  await app?.close();
});

async function record(set: MadeCollection) {
  const { path, etag } = await makeRecord(app.admin, set, { n: 0 });
  return { path, ifMatch: { 'if-match': etag } };
}

/** The number of the app's statements that wait for a lock. */
const waiting = async () =>
  (
    await app.database.query(
      `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    )
  ).length;

/** The answer and its time while the test holds a lock. */
async function locked(lock: string, values: unknown[], ask: () => Promise<Response>): Promise<[Response, number]> {
  await holder.query('BEGIN');
  await holder.query(lock, values);
  try {
    const begun = Date.now();
    const answer = await ask();
    return [answer, Date.now() - begun];
  } finally {
    await holder.query('ROLLBACK');
  }
}

row(14, '', async () => {
  const { admin, anyone, database, program } = app;
  const set = await makeCollection(admin, 'public', 'locked');
  const [changed, replaced, removed] = [await record(set), await record(set), await record(set)];
  const key = { 'idempotency-key': 'locked' };
  const [me] = await database.query<{ id: string }>('SELECT id FROM users');
  const own = `/api/v1/users/${me?.id}`;
  const user = etagOf(must(200, await admin.get(own)));
  const every = ['SELECT FROM records FOR UPDATE', []] as const;
  const collection = ['SELECT FROM collections WHERE name = $1 FOR UPDATE', [set.name]] as const;
  const whole = ['LOCK TABLE records', []] as const;
  const held = [
    `INSERT INTO idempotency_keys (caller_id, key, fingerprint) VALUES ($1, 'locked', '')`,
    [me?.id],
  ] as const;
  const asked: [string, readonly [string, readonly unknown[]], number, () => Promise<Response>][] = [
    ['a change', every, 503, () => admin.patch(changed.path, { data: { n: 1 } }, changed.ifMatch)],
    ['a replacement', every, 503, () => admin.put(replaced.path, { data: { n: 1 } }, replaced.ifMatch)],
    ['a removal', every, 503, () => admin.delete(removed.path, removed.ifMatch)],
    ['a collection', collection, 503, () => admin.put(set.path, { visibility: 'public' }, { 'if-match': set.etag })],
    ['a user', ['SELECT FROM users FOR UPDATE', []], 503, () => admin.patch(own, { name: 'B' }, { 'if-match': user })],
    ['a creation', whole, 503, () => admin.post(set.records, { data: {} })],
    ['an upload', whole, 503, () => admin.post(`${set.records}/bulk`, [{ data: {} }])],
    ['a list', whole, 503, () => anyone.get(set.records)],
    ['a key', held, 409, () => admin.post(set.records, { data: {} }, key)],
  ];
  const times: number[] = [];
  for (const [what, [lock, values], status, ask] of asked) {
    const [answer, ms] = await locked(lock, [...values], ask);
    const isInTime = ms >= LOCK_TIMEOUT_MS - 50 && ms < LOCK_TIMEOUT_MS + MARGIN_MS;
    expect([what, answer.status, isInTime || ms]).toEqual([what, status, true]);
    expectProblem(answer, status === 503 ? 'temporary-reduced-capacity' : 'conflict');
    times.push(ms);
  }
  // Nothing was changed, and every request succeeds now.
  expect(await database.query(`SELECT data->>'n' AS n FROM records`)).toEqual([{ n: '0' }, { n: '0' }, { n: '0' }]);
  for (const [, , , ask] of asked.reverse()) expect((await ask()).status).toBeLessThan(300);
  expectUnharmed(program);
  return {
    requests: times.length,
    'soonest refusal': inMs(Math.min(...times)),
    'latest refusal': inMs(Math.max(...times)),
  };
});

row(14, 'many creations at once, with a lock on their table', async () => {
  const { admin, database } = app;
  const set = await makeCollection(admin, 'private', 'many');
  const atOnce = <T>(ask: () => Promise<T>) => Promise.all(Array.from({ length: 40 }, ask));
  // On open connections: a request that has to open one first would queue behind the others.
  await atOnce(() => admin.get(set.records));
  await holder.query('BEGIN; LOCK TABLE records');
  const begun = Date.now();
  const answers = await atOnce(() => admin.post(set.records, { data: {} }));
  const ms = Date.now() - begun;
  await holder.query('ROLLBACK');
  for (const answer of answers) expectProblem(answer, 'temporary-reduced-capacity');
  expect(ms).toBeLessThan(LOCK_TIMEOUT_MS + MARGIN_MS);
  const inSet = 'SELECT FROM records r JOIN collections c ON c.id = r.collection_id WHERE c.name = $1';
  expect(await database.query(inSet, [set.name])).toEqual([]);
  must(201, await admin.post(set.records, { data: {} }));
  return { refused: answers.length, 'all refused after': inMs(ms) };
});

row(14, 'a lock that is released in time', async () => {
  const { admin } = app;
  const { path, etag, id } = await makeRecord(admin, await makeCollection(admin, 'private', 'in-time'), { n: 0 });
  await holder.query('BEGIN');
  await holder.query('SELECT FROM records WHERE id = $1 FOR UPDATE', [id]);
  const change = admin.patch(path, { data: { n: 1 } }, { 'if-match': etag });
  await until(async () => (await waiting()) === 1);
  await holder.query('ROLLBACK');
  expect((await change).status).toBe(200);
  return { answered: 200 };
});
