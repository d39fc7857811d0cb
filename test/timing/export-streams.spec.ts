import { get, type IncomingMessage } from 'node:http';
import { gunzipSync } from 'node:zlib';
import pg from 'pg';
import { startApp, type TestApp } from '../support/app.js';
import type { Client } from '../support/client.js';
import { type MadeCollection, makeCollection, makeRecord, must, until } from '../support/collections.js';
import { expectProblem } from '../support/problem.js';
import { pause } from '../support/process.js';
import { openSocket } from '../support/raw.js';
import { lines, NDJSON, tally } from '../support/uploads.js';

/** More than the buffers of two connections hold, some 20 MB; otherwise PostgreSQL would be done before anything is read. */
const RECORDS = 200_000;

let app: TestApp;
let ada: Client;
let set: MadeCollection;
beforeAll(async () => {
  app = await startApp({
    STREAM_CONCURRENCY: '1',
    DATABASE_ACQUIRE_TIMEOUT_MS: '1000',
    DATABASE_LOCK_TIMEOUT_MS: '300',
    DATABASE_STATEMENT_TIMEOUT_MS: '1500',
    DATABASE_QUERY_TIMEOUT_MS: '1500',
  });
  ada = await app.user('ada');
  set = await makeCollection(ada);
  must(200, await ada.post(`${set.records}/bulk`, lines(1, RECORDS), NDJSON));
}, 60_000);
afterAll(() => app?.close());

/** An export whose answer has begun, and whose body is not read yet. */
const begin = (headers: Record<string, string> = {}, path = `${set.records}/export`) =>
  new Promise<IncomingMessage>((resolve, reject) => {
    get(app.url + path, { agent: false, headers }, resolve).on('error', reject);
  });
const rest = async (response: IncomingMessage) => Buffer.concat(await response.toArray());
/** The number of exports that PostgreSQL is running. */
const running = async () =>
  (
    await app.database.query(
      `SELECT FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle' AND query LIKE 'SET LOCAL%COPY (%'`,
    )
  ).length;
const numbersOf = (bytes: Buffer) =>
  bytes
    .toString()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line).data.n as number);

it('is one snapshot, whatever is added, changed and deleted while it is read', async () => {
  const own = await makeCollection(ada);
  must(200, await ada.post(`${own.records}/bulk`, lines(1, RECORDS), NDJSON));
  const response = await begin({}, `${own.records}/export`);
  await makeRecord(ada, own, { n: 0 }, '9999-01-01T00:00:00Z');
  must(200, await ada.post(`${own.records}/bulk`, lines(RECORDS + 1, RECORDS + 7000), NDJSON));
  await app.database.query(
    `DELETE FROM records WHERE (data->>'n')::int % 2 = 0 AND collection_id = (SELECT id FROM collections WHERE name = $1)`,
    [own.name],
  );
  const numbers = numbersOf(await rest(response)).sort((a, b) => a - b);
  expect(numbers).toEqual(Array.from({ length: RECORDS }, (_, i) => i + 1));
  expect(await tally(app.database, own)).toEqual([(RECORDS + 7000) / 2, (RECORDS + 7000) / 2]);
});

it('waits for a reader who pauses for longer than the statement time-out, and sends everything', async () => {
  for (const encoding of ['identity', 'gzip']) {
    const response = await begin({ 'accept-encoding': encoding });
    await pause(2000);
    if (encoding === 'identity') expect(await running()).toBe(1);
    const bytes = await rest(response);
    const numbers = numbersOf(encoding === 'gzip' ? gunzipSync(bytes) : bytes);
    expect([numbers.length, new Set(numbers).size]).toEqual([RECORDS, RECORDS]);
  }
});

it.each(['identity', 'gzip', 'br', 'zstd'])(
  'frees its connection when its caller goes away in mid-stream (%s)',
  async (encoding) => {
    for (let round = 0; round < 2; round++) {
      const response = await begin({ 'accept-encoding': encoding });
      await pause(20 * round);
      response.destroy();
      await until(async () => (await running()) === 0, 2);
      expect((await app.client.get(`${set.records}/export?where={"n":5}`)).status).toBe(200);
    }
  },
);

it('frees its connection when its caller reads only the head', async () => {
  for (let round = 0; round < 2; round++) {
    must(200, await app.client.send('HEAD', `${set.records}/export`, undefined));
    await until(async () => (await running()) === 0, 2);
  }
});

it('runs no query for HEAD', async () => {
  const time = async (method: string) => {
    const began = performance.now();
    must(200, await app.client.send(method, `${set.records}/export`, undefined));
    return performance.now() - began;
  };
  await time('HEAD');
  expect(await time('HEAD')).toBeLessThan((await time('GET')) / 2);
});

it('survives many callers who hang up at any moment', async () => {
  const request = `GET ${set.records}/export HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n`;
  let most = 0;
  const watch = setInterval(async () => {
    most = Math.max(most, await running());
  }, 50);
  await Promise.all(
    Array.from({ length: 200 }, async (_, index) => {
      const socket = openSocket(app.url);
      socket.write(request, () => setTimeout(() => socket.destroy(), index % 40));
      await new Promise((resolve) => socket.once('close', resolve));
    }),
  );
  await until(async () => (await running()) === 0, 5);
  clearInterval(watch);
  // PostgreSQL does not continue exports of callers who have gone while it begins others.
  expect(most).toBeLessThanOrEqual(2);
  must(200, await app.client.get(`${set.records}/export?where={"n":5}`));
});

it('is refused with 503 when there is no place, while other requests are answered', async () => {
  const response = await begin();
  const began = Date.now();
  const refused = Array.from({ length: 5 }, () => app.client.get(`${set.records}/export`));
  for (let round = 0; round < 5; round++) {
    must(200, await app.client.get(set.records));
    must(200, await app.client.get('/health/ready'));
    must(201, await ada.post(await makeCollection(ada).then(({ records }) => records), { data: {} }));
  }
  for (const answer of await Promise.all(refused)) expectProblem(answer, 'temporary-reduced-capacity');
  expect(Date.now() - began).toBeGreaterThan(900);
  expect(Date.now() - began).toBeLessThan(2500);
  expect(numbersOf(await rest(response))).toHaveLength(RECORDS);
  must(200, await app.client.get(`${set.records}/export?where={"n":5}`));
});

it.each(['identity', 'gzip'])('is cut off visibly when PostgreSQL ends its connection (%s)', async (encoding) => {
  const response = await begin({ 'accept-encoding': encoding });
  const end = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND query LIKE 'SET LOCAL%COPY (%' AND state <> 'idle'`;
  expect(await app.database.query(end)).toHaveLength(1);
  const whole = rest(response);
  await expect(whole).rejects.toThrow('aborted');
  must(200, await app.client.get(`${set.records}/export?where={"n":5}`));
});

it.each(['identity', 'gzip'])(
  'is answered with an ordinary problem when it fails before it begins (%s)',
  async (encoding) => {
    const holder = new pg.Client({ connectionString: app.database.url });
    await holder.connect();
    try {
      await holder.query('BEGIN; LOCK TABLE records');
      const answer = await app.client.get(`${set.records}/export`, { 'accept-encoding': encoding });
      expectProblem(answer, 'temporary-reduced-capacity');
    } finally {
      await holder.end();
    }
    must(200, await app.client.get(`${set.records}/export?where={"n":5}`));
  },
);
