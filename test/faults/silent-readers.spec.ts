import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { type MadeCollection, makeCollection, must, until } from '../support/collections.js';
import { Ledger } from '../support/ledger.js';
import { endPrograms, imageOf, pause } from '../support/process.js';
import { openSocket } from '../support/raw.js';
import { inMs, quantile, row } from '../support/row.js';
import { type Single, startSingle } from '../support/single.js';
import { NDJSON } from '../support/uploads.js';
import { figuresOf, inMiB, watchHeldMemory } from '../support/watch.js';

const CONTAINER_MIB = 256;
/** The part of it for pages of the program itself. */
const PROGRAM_MIB = 40;
const MOST_BYTES = 25_165_824;
/** As in a pod, where a gateway states the callers' addresses. */
const SETTINGS = { TRUST_PROXY: '127.0.0.1/32', RATE_LIMIT_REQUESTS: '100000' };

let one: Single;
let heldMemory: () => number;
let set: MadeCollection;
let paths: string[];
beforeAll(async () => {
  const { flags, environment } = imageOf(CONTAINER_MIB);
  one = await startSingle({ ...environment, ...SETTINGS }, flags);
  heldMemory = watchHeldMemory(one.program);
  set = await makeCollection(one.admin, 'public');
  // Data that compresses badly, so that each encoding takes memory as well.
  const text = () => randomBytes(45_000).toString('base64');
  const lines = Array.from({ length: 100 }, () => JSON.stringify({ data: { text: text() } }));
  const { inserted } = must(200, await one.admin.post(`${set.records}/bulk`, lines.join('\n'), NDJSON)).body;
  expect(inserted).toBe(100);
  const { text: all } = await one.anyone.get(`${set.records}/export`);
  paths = all
    .trim()
    .split('\n')
    .map((line) => `${set.records}/${JSON.parse(line).id}`);
}, 60_000);
afterAll(endPrograms);

interface Reader {
  /** The requests that it sends at once, in one piece. */
  targets: string[];
  from: string;
  encoding?: string;
}
const addressOf = (n: number) => `10.1.${Math.floor(n / 250)}.${(n % 250) + 1}`;
const bytesOf = ({ targets, from, encoding = 'identity' }: Reader) =>
  targets
    .map(
      (path) => `GET ${path} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: ${from}\r\nAccept-Encoding: ${encoding}\r\n\r\n`,
    )
    .join('');

const GAUGES = ['answer_bytes', 'answer_connections', 'pipelined_requests', 'edge_loads', 'cache_loads', 'batches'];
const inUse = (resource: string) => `resources_in_use{resource="${resource}"}`;

/** Adds a reader every few ms that reads nothing, while others read and write. */
async function beside(readers: Reader[], everyMs: number) {
  const ledger = await Ledger.open([await one.user(), await one.user()]);
  await pause(3000);
  const begun = Date.now();
  const givenUp = (await figuresOf(one.anyone))('answers_given_up_total');
  const sockets: Socket[] = [];
  let most = 0;
  const looking = setInterval(async () => {
    most = Math.max(most, (await figuresOf(one.anyone))(inUse('answer_bytes')));
  }, 300);
  for (const reader of readers) {
    const socket = openSocket(one.url).pause();
    sockets.push(socket);
    socket.write(bytesOf(reader));
    await pause(everyMs);
  }
  await pause(3000);
  clearInterval(looking);
  const ended = Date.now();
  for (const socket of sockets) socket.destroy();
  const left = async () => {
    const figures = await figuresOf(one.anyone);
    return GAUGES.filter((name) => figures(inUse(name)) !== 0);
  };
  await pause(1000);
  expect(await ledger.settle(one.database)).toEqual([]);
  await until(async () => (await left()).length === 0, 10).catch(() => {});
  expect(await left()).toEqual([]);
  await one.expectUnharmed();
  expect(most).toBeLessThanOrEqual(MOST_BYTES);
  expect(heldMemory()).toBeLessThan(CONTAINER_MIB - PROGRAM_MIB);
  const [without, during] = [ledger.times(0, begun), ledger.times(begun, ended)].map((times) => quantile(times, 0.99));
  return {
    readers: readers.length,
    'given up': (await figuresOf(one.anyone))('answers_given_up_total') - givenUp,
    'waited at most': inMiB(most / 1_048_576),
    'held at most': inMiB(heldMemory()),
    'p99 without': inMs(without as number),
    'p99 with': inMs(during as number),
    'failed for others': ledger.count(({ status }) => status === 0 || status >= 500),
  };
}

const many = (count: number, reader: (n: number) => Reader) => Array.from({ length: count }, (_, n) => reader(n));
const times = (count: number, path: string) => Array.from({ length: count }, () => path);
const list = () => `${set.records}?limit=100`;
const encodingOf = (n: number) => ['identity', 'gzip', 'br'][n % 3] as string;
const documents = ['/openapi.json', '/docs/swagger-ui-bundle.js', '/metrics', '/docs/swagger-ui-init.js'];

row(55, 'lists, from one address', () =>
  beside(
    many(500, () => ({ targets: times(3, list()), from: addressOf(0) })),
    40,
  ),
);
row(55, 'lists, from many addresses', () =>
  beside(
    many(500, (n) => ({ targets: times(3, list()), from: addressOf(n) })),
    40,
  ),
);
row(55, 'cached records in every encoding', () =>
  beside(
    many(500, (n) => ({ targets: paths, from: addressOf(n), encoding: encodingOf(n) })),
    20,
  ),
);
row(55, 'hundreds of pipelined lists', () =>
  beside(
    many(60, (n) => ({ targets: times(600, list()), from: addressOf(n) })),
    100,
  ),
);
row(55, 'the document, its page and metrics', () =>
  beside(
    many(300, (n) => ({ targets: times(20, documents[n % 4] as string), from: addressOf(n), encoding: encodingOf(n) })),
    30,
  ),
);
row(55, 'exports', () =>
  beside(
    many(100, (n) => ({ targets: [`${set.records}/export`], from: addressOf(n) })),
    50,
  ),
);
row(55, 'thousands of pipelined refusals', () =>
  beside(
    many(100, (n) => ({ targets: times(1000, '/nothing'), from: addressOf(n) })),
    100,
  ),
);
