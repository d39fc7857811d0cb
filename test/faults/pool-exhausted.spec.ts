import pg from 'pg';
import { type Alone, startAlone } from '../support/alone.js';
import type { Response } from '../support/client.js';
import { makeCollection, makeRecord, must, until } from '../support/collections.js';
import { expectProblem } from '../support/problem.js';
import { expectUnharmed } from '../support/process.js';
import { inMs, quantile, row } from '../support/row.js';

const POOL_SIZE = 4;
const ACQUIRE_TIMEOUT_MS = 1500;
const LOCK_TIMEOUT_MS = 9000;
/** The time that a busy machine may take on top of the time-out. */
const MARGIN_MS = 1000;

let app: Alone;
let holder: pg.Client;
beforeAll(async () => {
  app = await startAlone({
    DATABASE_POOL_SIZE: String(POOL_SIZE),
    DATABASE_ACQUIRE_TIMEOUT_MS: String(ACQUIRE_TIMEOUT_MS),
    DATABASE_LOCK_TIMEOUT_MS: String(LOCK_TIMEOUT_MS),
    SESSION_CHECK_MS: '5000',
    CACHE_TTL_MS: '0',
  });
  holder = new pg.Client({ connectionString: app.database.url });
  await holder.connect();
}, 60_000);
afterAll(async () => {
  await holder?.end();
  await app?.close();
});

const WAITING = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;

async function timed(ask: () => Promise<Response>): Promise<[Response, number]> {
  const begun = Date.now();
  const answer = await ask();
  return [answer, Date.now() - begun];
}

row(16, '', async () => {
  const { admin, anyone, database, program } = app;
  const set = await makeCollection(admin, 'public', 'crowded');
  const records = await Promise.all(Array.from({ length: POOL_SIZE }, () => makeRecord(admin, set, { n: 0 })));
  await holder.query('BEGIN; SELECT FROM records FOR UPDATE');
  const begun = Date.now();
  const stuck = records.map(({ path, etag }) => admin.patch(path, { data: { n: 1 } }, { 'if-match': etag }));
  await until(async () => (await database.query(WAITING)).length === POOL_SIZE);

  const waiters: (() => Promise<Response>)[] = [
    // Only lists of the usual lengths are short reads.
    () => anyone.get('/api/v1/data?limit=3'),
    () => anyone.get(`${set.path}/stats?bucket=day`),
    () => admin.get('/api/v1/users?limit=3'),
    () => admin.post(set.records, { data: {} }),
  ];
  const refusals = await Promise.all([0, 1, 2, 3].flatMap(() => waiters.map(timed)));
  // Short reads have connections of their own.
  const short = [set.path, records[0]?.path as string, '/api/v1/users/me'];
  const served = await Promise.all(short.map((path) => timed(() => admin.get(path))));
  for (const [answer, ms] of served) {
    must(200, answer);
    expect(ms).toBeLessThan(ACQUIRE_TIMEOUT_MS);
  }
  const health: number[] = [];
  for (const probe of ['live', 'ready', 'startup']) {
    const [answer, ms] = await timed(() => anyone.get(`/health/${probe}`));
    must(200, answer);
    health.push(ms);
  }
  must(200, await anyone.get('/metrics'));
  // All of this happened while the pool still waited for the locks.
  expect(await database.query(WAITING)).toHaveLength(POOL_SIZE);
  expect(Date.now() - begun).toBeLessThan(LOCK_TIMEOUT_MS);
  for (const [answer] of refusals) expectProblem(answer, 'temporary-reduced-capacity');
  const times = refusals.map(([, ms]) => ms);
  expect(Math.min(...times)).toBeGreaterThanOrEqual(ACQUIRE_TIMEOUT_MS - 50);
  expect(Math.max(...times)).toBeLessThan(ACQUIRE_TIMEOUT_MS + MARGIN_MS);

  await holder.query('ROLLBACK');
  for (const one of stuck) must(200, await one);
  const freed = Date.now();
  for (const ask of waiters) expect((await ask()).status).toBeLessThan(300);
  expectUnharmed(program);
  return {
    refused: refusals.length,
    'soonest refusal': inMs(Math.min(...times)),
    'p99 of refusals': inMs(quantile(times, 0.99)),
    'slowest short read': inMs(Math.max(...served.map(([, ms]) => ms))),
    'slowest answer of health': inMs(Math.max(...health)),
    'all served again in': inMs(Date.now() - freed),
  };
});
