import { randomUUID } from 'node:crypto';
import { ADMIN } from '../support/app.js';
import type { Response } from '../support/client.js';
import { makeCollection, makeRecord, must, until } from '../support/collections.js';
import { type Forwarder, forward } from '../support/forwarder.js';
import { Ledger, type Outcome } from '../support/ledger.js';
import { expectProblem } from '../support/problem.js';
import { expectUnharmed, pause, productionSettings, startMain } from '../support/process.js';
import { at, type Replicas, startReplicas } from '../support/replicas.js';
import { inMs, quantile, row } from '../support/row.js';

const QUERY_TIMEOUT_MS = 2000;
const ACQUIRE_TIMEOUT_MS = 1000;
/** The bound for a request that need not wait for a connection; less than two time-outs. */
const MOST_ALONE_MS = QUERY_TIMEOUT_MS + 1500;
/** The bound for a request that waits first for a connection and then for an answer, on a busy machine. */
const MOST_MS = ACQUIRE_TIMEOUT_MS + QUERY_TIMEOUT_MS + 1000;
const isFailure = ({ status }: Outcome) => status === 0 || status >= 500;

let two: Replicas;
beforeAll(async () => {
  two = await startReplicas({
    DATABASE_QUERY_TIMEOUT_MS: String(QUERY_TIMEOUT_MS),
    DATABASE_ACQUIRE_TIMEOUT_MS: String(ACQUIRE_TIMEOUT_MS),
    // Longer, so that PostgreSQL does not end the wait itself.
    DATABASE_STATEMENT_TIMEOUT_MS: '60000',
    DATABASE_LOCK_TIMEOUT_MS: '60000',
    // An export is given up after this time.
    REQUEST_TIMEOUT_MS: '2000',
    HEADERS_TIMEOUT_MS: '2000',
    SESSION_CHECK_MS: '5000',
  });
}, 60_000);
afterAll(() => two?.close());

async function underLoad(fault: () => void, mend: () => void, lasting: number) {
  const { here, there } = two;
  const writers = await Promise.all([two.user(), two.user(), two.user(), two.user()]);
  const ledger = await Ledger.open(writers.map((writer, i) => (i % 2 ? writer : at(there, writer))));
  await pause(2000);
  const begun = Date.now();
  fault();
  await pause(lasting);
  const mended = Date.now();
  mend();
  await pause(MOST_MS);
  const settled = Date.now();
  await pause(2000);
  expect(await ledger.settle(two.database)).toEqual([]);
  expect(ledger.count((one) => isFailure(one) && one.at + one.ms < begun)).toBe(0);
  expect(ledger.count(({ status }) => status === 0)).toBe(0);
  expect(ledger.count(isFailure, begun, mended)).toBeGreaterThan(0);
  expect(ledger.count(isFailure, settled)).toBe(0);
  expect(ledger.count(({ status }) => status < 300, settled)).toBeGreaterThan(100);
  const slowest = Math.max(...ledger.times(begun));
  expect(slowest).toBeLessThan(MOST_MS);
  expectUnharmed(here.program, there.program);
  return {
    'p99 before': inMs(quantile(ledger.times(0, begun), 0.99)),
    'slowest answer': inMs(slowest),
    'p99 after': inMs(quantile(ledger.times(settled), 0.99)),
    refused: ledger.count(isFailure),
    acknowledged: ledger.acknowledged,
  };
}

function onBothWays(work: (way: Forwarder) => void): void {
  for (const { toDatabase } of [two.here, two.there]) work(toDatabase);
}

row(17, 'all connections for 3 s, under load', () =>
  underLoad(
    () => onBothWays((way) => way.hold('everything')),
    () => onBothWays((way) => way.release()),
    3000,
  ),
);

row(17, 'the open connections for good, under load', () =>
  underLoad(
    () => onBothWays((way) => way.lose()),
    () => {},
    QUERY_TIMEOUT_MS + 1000,
  ),
);

row(
  17,
  'each kind of request, on open connections and on new ones',
  async () => {
    const { here, admin } = two;
    const { anyone, toDatabase } = here;
    const set = await makeCollection(admin, 'public', 'silent');
    const { path, etag } = await makeRecord(admin, set);
    const asked: [string, () => Promise<Response>][] = [
      ['a record', () => anyone.get(`${set.records}/${randomUUID()}`)],
      ['a collection', () => anyone.get(`/api/v1/data/c-${randomUUID()}`)],
      ['a list', () => anyone.get(set.records)],
      ['statistics', () => anyone.get(`${set.path}/stats?bucket=day&where={"a":"${randomUUID()}"}`)],
      ['users', () => admin.get('/api/v1/users?limit=1')],
      ['an export', () => anyone.get(`${set.records}/export`)],
      ['signing in', () => anyone.post('/api/v1/auth/login', ADMIN)],
      ['a creation', () => admin.post(set.records, { data: {} })],
      ['a change', () => admin.patch(path, { data: { a: 1 } }, { 'if-match': etag })],
      ['an upload', () => admin.post(`${set.records}/bulk`, [{ data: {} }])],
      ['an atomic upload', () => admin.post(`${set.records}/bulk?atomic=true`, [{ data: {} }])],
    ];
    const figures: Record<string, string> = {};
    for (const where of ['open', 'new'] as const) {
      let slowest = 0;
      for (const [what, ask] of asked) {
        await until(async () => (await ask()).status < 500);
        // Open connections have answered before; new ones never will.
        toDatabase.hold('everything');
        if (where === 'new') toDatabase.reset();
        const begun = Date.now();
        const answer = await ask();
        const ms = Date.now() - begun;
        toDatabase.release();
        expect([what, where, answer.status, ms < MOST_ALONE_MS || ms]).toEqual([what, where, 503, true]);
        expectProblem(answer, 'temporary-reduced-capacity');
        slowest = Math.max(slowest, ms);
      }
      figures[`slowest 503 on ${where} connections`] = inMs(slowest);
    }
    must(200, await admin.get('/api/v1/users/me'));
    expectUnharmed(here.program);
    return figures;
  },
  180_000,
);

row(17, 'at the start of the process', async () => {
  const silent = await forward(two.database.url);
  silent.hold('everything');
  try {
    const begun = Date.now();
    const program = startMain(productionSettings(silent.url));
    expect(await program.end()).toEqual({ code: 1, signal: null });
    const ms = Date.now() - begun;
    expect(program.stderr).toMatch(/^The database at \S+ cannot be used: .+\n$/);
    return { 'given up after': inMs(ms) };
  } finally {
    await silent.close();
  }
});
