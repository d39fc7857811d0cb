import { makeCollection } from '../support/collections.js';
import { drip, type End } from '../support/crowd.js';
import { Ledger, type Outcome } from '../support/ledger.js';
import { endPrograms, pause } from '../support/process.js';
import { inMs, quantile, row } from '../support/row.js';
import { type Single, startSingle } from '../support/single.js';
import { descriptorsOf, figuresOf, inMiB, memoryOf } from '../support/watch.js';

const SOCKETS = 5000;
const HEADERS_MS = 5000;
const REQUEST_MS = 9000;
const LIMITS = { HEADERS_TIMEOUT_MS: String(HEADERS_MS), REQUEST_TIMEOUT_MS: String(REQUEST_MS) };
/** Time-outs are checked every second, and on a busy machine so many answers take a while. */
const SLACK_MS = 6000;

afterAll(endPrograms);

/** Slow callers of each kind: sending nothing at all, a head, or the body of each kind of route. */
function senders(token: string, records: string, count: number): { start: string; rest: string }[] {
  const post = (path: string, headers = '') =>
    `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n${headers}Content-Length: 900\r\n\r\n{"a":"`;
  const kinds = [
    { start: '', rest: '' },
    { start: '', rest: 'GET /api/v1/data HTTP/1.1\r\nHost: x\r\nX-A: ' },
    { start: 'GET /api/v1/data HTTP/1.1\r\nHost: x\r\nX-Slow: ', rest: 'a' },
    { start: `POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\n`, rest: 'X-A: a\r\n' },
    { start: post('/api/v1/auth/login'), rest: 'a' },
    { start: post('/api/v1/auth/refresh', `Authorization: Bearer ${token}\r\n`), rest: 'a' },
    { start: post(records, `Authorization: Bearer ${token}\r\n`), rest: 'a' },
    {
      start: `POST /api/v1/auth/register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`,
      rest: '1\r\n \r\n',
    },
  ];
  return Array.from({ length: count }, (_, at) => kinds[at % kinds.length] as (typeof kinds)[number]);
}

const isFailure = ({ status }: Outcome) => status === 0 || status >= 500;

/** Runs readers and writers without the slow callers for a while, and then beside them. */
async function besides(one: Single, count: number) {
  const ledger = await Ledger.open([await one.user(), await one.user()]);
  await pause(4000);
  const descriptors = descriptorsOf(one.program);
  const memory = memoryOf(one.program);
  const begun = Date.now();
  const { records } = await makeCollection(one.admin);
  const slow = drip(one.url, senders(one.admin.tokens?.accessToken ?? '', records, count));
  const open = await slow.opened;
  const figures = await figuresOf(one.anyone);
  const most = { descriptors: descriptorsOf(one.program), memory: memoryOf(one.program) };
  const ends = await slow.ended;
  const ended = Date.now();
  await slow.stop();
  await pause(1000);
  expect(await ledger.settle(one.database)).toEqual([]);
  expect(ledger.outcomes.filter(isFailure)).toEqual([]);
  // Everything is back to normal without help.
  expect(descriptorsOf(one.program)).toBeLessThan(descriptors + 20);
  const figuresAfter = await figuresOf(one.anyone);
  expect([figuresAfter('admission_in_flight'), figuresAfter('admission_queued')]).toEqual([0, 0]);
  await one.expectUnharmed();
  const without = quantile(ledger.times(0, begun), 0.99);
  const during = quantile(ledger.times(begun, ended), 0.99);
  expect(during).toBeLessThan(without + 500);
  return {
    ends,
    open,
    most,
    inHand: figures('admission_in_flight'),
    seen: {
      'p99 without': inMs(without),
      'p99 with': inMs(during),
      'answers to others meanwhile': ledger.times(begun, ended).length,
      'memory before': inMiB(memory),
      with: inMiB(most.memory),
    },
  };
}

const latest = (ends: End[]) => Math.max(...ends.map(({ ms }) => ms));

row(
  28,
  '',
  async () => {
    const one = await startSingle(LIMITS);
    const { ends, open, inHand, seen } = await besides(one, SOCKETS);
    await one.close();
    expect(open).toBeGreaterThanOrEqual(SOCKETS / 2);
    const count = (status: number) => ends.filter((end) => end.status === status).length;
    // Of the bodies that one caller sends, only a hundred may be under way.
    expect(count(408) + count(503)).toBe(SOCKETS);
    expect(count(408)).toBeGreaterThanOrEqual((SOCKETS * 4) / 8);
    expect(latest(ends)).toBeLessThan(REQUEST_MS + SLACK_MS);
    // Requests whose bodies are still arriving are not at work; there are few others.
    expect(inHand).toBeLessThan(20);
    return { 'ended with 408': count(408), 'with 503': count(503), 'after at most': inMs(latest(ends)), ...seen };
  },
  120_000,
);

row(
  28,
  'with room for a fifth of them at a time',
  async () => {
    const most = SOCKETS / 5;
    const one = await startSingle({ ...LIMITS, MAX_CONNECTIONS: String(most) });
    const { ends, most: seenMost, seen } = await besides(one, SOCKETS);
    await one.close();
    expect(seenMost.descriptors).toBeLessThan(most + 150);
    const count = (status: number) => ends.filter((end) => end.status === status).length;
    expect(count(0) + count(408) + count(503)).toBe(SOCKETS);
    expect(count(0) + count(503)).toBeGreaterThanOrEqual(SOCKETS - most);
    return {
      'closed for others': count(0),
      'ended with 408': count(408),
      'with 503': count(503),
      'open at most': seenMost.descriptors,
      ...seen,
    };
  },
  120_000,
);
