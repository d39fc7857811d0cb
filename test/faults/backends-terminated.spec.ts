import pg from 'pg';
import { makeCollection, makeRecord, until } from '../support/collections.js';
import { Ledger, type Outcome } from '../support/ledger.js';
import { expectProblem } from '../support/problem.js';
import { expectUnharmed, pause } from '../support/process.js';
import { openSocket, readAnswer } from '../support/raw.js';
import { at, type Replicas, startReplicas } from '../support/replicas.js';
import { inMs, quantile, row } from '../support/row.js';

/** DATABASE_POOL_SIZE, STREAM_CONCURRENCY, the connections for short reads, and the one that checks whether PostgreSQL is up. */
const MOST_CONNECTIONS = 10 + 2 + 2 + 1;
const isFailure = ({ status }: Outcome) => status === 0 || status >= 500;

let two: Replicas;
beforeAll(async () => {
  // Sessions are cached, so that a change begins with its transaction.
  two = await startReplicas({ SESSION_CHECK_MS: '5000' });
}, 60_000);
afterAll(() => two?.close());

const SESSIONS = `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'floodgate'`;
const IN_TRANSACTION = `${SESSIONS} AND state = 'idle in transaction'`;
const terminate = async () => (await two.database.query(`SELECT pg_terminate_backend(pid) FROM (${SESSIONS})`)).length;

row(12, 'five times under load', async () => {
  const writers = await Promise.all([two.user(), two.user(), two.user(), two.user()]);
  const ledger = await Ledger.open(writers.map((writer, i) => (i % 2 ? writer : at(two.there, writer))));
  await pause(2000);
  const begun = Date.now();
  let terminated = 0;
  for (let time = 0; time < 5; time++) {
    terminated += await terminate();
    await pause(500);
  }
  await pause(500);
  const settled = Date.now();
  await pause(2000);
  expect(await ledger.settle(two.database)).toEqual([]);
  expect(terminated).toBeGreaterThan(5 * 4);
  expect(ledger.count((one) => isFailure(one) && one.at + one.ms < begun)).toBe(0);
  expect(ledger.count(isFailure, settled)).toBe(0);
  expectUnharmed(two.here.program, two.there.program);
  const sessions = (await two.database.query(SESSIONS)).length;
  expect(sessions).toBeLessThanOrEqual(2 * MOST_CONNECTIONS);
  return {
    terminated,
    'p99 before': inMs(quantile(ledger.times(0, begun), 0.99)),
    'p99 during': inMs(quantile(ledger.times(begun, settled), 0.99)),
    'p99 after': inMs(quantile(ledger.times(settled), 0.99)),
    failed: ledger.count(isFailure),
    acknowledged: ledger.acknowledged,
    'sessions afterwards': sessions,
  };
});

row(12, 'in the middle of an upload', async () => {
  const { admin, here } = two;
  const set = await makeCollection(admin, 'private', 'upload');
  const socket = openSocket(admin.url);
  const answer = readAnswer(socket);
  socket.write(
    `POST ${set.records}/bulk?atomic=true HTTP/1.1\r\nHost: localhost\r\n` +
      `Authorization: Bearer ${admin.tokens?.accessToken}\r\n` +
      'Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[\r\n',
  );
  const end = `SELECT pg_terminate_backend(pid) FROM (${IN_TRANSACTION})`;
  await until(async () => (await two.database.query(end)).length > 0);
  await pause(200);
  socket.write('d\r\n{"data":{}}]\n\r\n0\r\n\r\n');
  expectProblem(await answer, 'temporary-reduced-capacity');
  expect((await admin.get(set.records)).body.items).toEqual([]);
  expect((await admin.post(`${set.records}/bulk?atomic=true`, [{ data: {} }])).body.inserted).toBe(1);
  expectUnharmed(here.program);
  return { answered: 503, stored: 0 };
});

row(12, 'while an answer is in transit', async () => {
  const { admin, here } = two;
  const { path, etag } = await makeRecord(admin, await makeCollection(admin, 'private', 'on-its-way'));
  const statuses: number[] = [];
  for (let time = 0; time < 20; time++) {
    here.toDatabase.hold('answers');
    // The end of its session arrives with the answer to the statement that begins the transaction.
    const change = admin.patch(path, { data: { time } }, { 'if-match': etag });
    // Occasionally the caller has to be looked up first, and then no transaction begins.
    await until(async () => (await two.database.query(IN_TRANSACTION)).length > 0, 1).catch(() => {});
    await terminate();
    await pause(50);
    here.toDatabase.release();
    statuses.push((await change).status);
    await until(async () => (await admin.get('/api/v1/users?limit=1')).status === 200);
  }
  expect(statuses.filter((status) => status !== 503)).toEqual([]);
  expect((await admin.patch(path, { data: { time: 0 } }, { 'if-match': etag })).status).toBe(200);
  expectUnharmed(here.program);
  return { 'answered 503': statuses.length };
});

row(12, 'the first connection of all, reset in the middle of a statement', async () => {
  // So few connections that the first one is in use.
  const fresh = await startReplicas({ DATABASE_POOL_SIZE: '2' });
  const { admin, database, here } = fresh;
  const holder = new pg.Client({ connectionString: database.url });
  try {
    const { records } = await makeCollection(admin, 'private', 'first');
    await holder.connect();
    await holder.query('BEGIN; LOCK TABLE records');
    const stuck: ReturnType<typeof admin.post>[] = [];
    // One after the other, so that they are not made by one statement.
    for (let one = 1; one <= 2; one++) {
      stuck.push(admin.post(records, { data: {} }));
      await until(async () => (await database.query(`${SESSIONS} AND wait_event_type = 'Lock'`)).length === one);
    }
    here.toDatabase.reset();
    for (const answer of await Promise.all(stuck)) expectProblem(answer, 'temporary-reduced-capacity');
    await holder.query('ROLLBACK');
    await until(async () => (await admin.post(records, { data: {} })).status === 201);
    expectUnharmed(here.program);
  } finally {
    await holder.end();
    await fresh.close();
  }
  return { answered: 503 };
});
