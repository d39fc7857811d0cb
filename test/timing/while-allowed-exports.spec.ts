import { get, type IncomingMessage } from 'node:http';
import { startApp, type TestApp } from '../support/app.js';
import type { Client } from '../support/client.js';
import { etagOf, type MadeCollection, makeCollection, must, until } from '../support/collections.js';
import { ENDINGS } from '../support/endings.js';
import { whileLocked } from '../support/locks.js';
import { expectProblem } from '../support/problem.js';
import { pause } from '../support/process.js';

/** The promised bound, and a margin for a slow machine. */
const BOUND_MS = 5000 + 3000;
/** More than the buffers of two connections hold, even compressed. */
const RECORDS = 3000;

let app: TestApp;
let ada: Client;
let set: MadeCollection;
beforeAll(async () => {
  app = await startApp({
    SESSION_CHECK_MS: '5000',
    CACHE_TTL_MS: '600000',
    STREAM_CONCURRENCY: '1',
    DATABASE_ACQUIRE_TIMEOUT_MS: '10000',
    DATABASE_LOCK_TIMEOUT_MS: '20000',
    SEND_TIMEOUT_MS: '60000',
  });
  ada = await app.user('ada');
  set = await makeCollection(ada);
  await app.database.query(
    `INSERT INTO records (collection_id, data, occurred_at)
     SELECT c.id, jsonb_build_object('text', (SELECT string_agg(md5(random()::text || n || i), '') FROM generate_series(1, 500) AS i)), now()
     FROM collections c, generate_series(1, ${RECORDS}) AS n WHERE c.name = $1`,
    [set.name],
  );
}, 60_000);
afterAll(() => app?.close());

/** An export whose answer has begun, and whose body is not read yet. */
const begin = (client: Client, headers: Record<string, string> = {}) =>
  new Promise<IncomingMessage>((resolve, reject) => {
    const authorization = client.tokens && { authorization: `Bearer ${client.tokens.accessToken}` };
    get(`${app.url}${set.records}/export`, { agent: false, headers: { ...authorization, ...headers } }, (response) => {
      // Its end is checked when it is read.
      response.on('error', () => {});
      resolve(response);
    }).on('error', reject);
  });

/** The number of exports that PostgreSQL is running. */
const running = async () =>
  (
    await app.database.query(
      `SELECT FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle' AND query LIKE 'SET LOCAL%COPY (%'`,
    )
  ).length;

async function show(visibility: 'public' | 'private'): Promise<void> {
  const ifMatch = { 'if-match': etagOf(must(200, await ada.get(set.path))) };
  must(200, await ada.put(set.path, { visibility }, ifMatch));
}

/** Ends an export whose reader reads nothing, and expects it to be cut off within the bound and its place to be free. */
async function expectCutOff(response: IncomingMessage, end: () => Promise<unknown>): Promise<void> {
  expect(await running()).toBe(1);
  await end();
  const ended = Date.now();
  await until(async () => (await running()) === 0);
  expect(Date.now() - ended).toBeLessThan(BOUND_MS);
  await expect(response.toArray()).rejects.toThrow('aborted');
  expect(response.complete).toBe(false);
  must(200, await ada.get(`${set.records}/export?where=${encodeURIComponent('{"text":"none"}')}`));
}

describe('an export under way', () => {
  it.each(ENDINGS)('is cut off when its reader %s', async (_what, end) => {
    const reader = await app.user();
    await expectCutOff(await begin(reader), () => end(app.admin, reader, app.database));
  });

  it.each(['identity', 'gzip', 'br', 'zstd'])(
    'in %s is cut off when the collection is private now',
    async (encoding) => {
      const readers = [app.client, await app.user()];
      for (const reader of readers) {
        await expectCutOff(await begin(reader, { 'accept-encoding': encoding }), () => show('private'));
        await show('public');
      }
    },
  );

  it('continues for its owner when the collection becomes private, and waits for a pausing reader', async () => {
    const response = await begin(ada);
    await show('private');
    await pause(5000);
    expect(await running()).toBe(1);
    const text = Buffer.concat(await response.toArray()).toString();
    expect([response.complete, text.trimEnd().split('\n').length]).toEqual([true, RECORDS]);
    await show('public');
  });

  it('is refused when nothing of it was sent yet, as a new one would be', async () => {
    const reader = await app.user();
    const read = () => reader.get(`${set.records}/export`);
    const [answer] = await whileLocked(app.database, 'records', 0, read, async () => {
      await until(async () => (await running()) === 1);
      await show('private');
      await until(async () => (await running()) === 0);
    });
    expectProblem(answer, 'not-found');
    await show('public');
  });

  it('is refused in the same way when it has waited for a place', async () => {
    const owners = await begin(ada);
    const reader = await app.user();
    const waiting = reader.get(`${set.records}/export`);
    await pause(500);
    await show('private');
    await pause(3000);
    owners.destroy();
    expectProblem(await waiting, 'not-found');
    await show('public');
  });

  it('is cut off when the collection is deleted, even if a new one takes its name', async () => {
    const { path } = set;
    await expectCutOff(await begin(app.client), async () => {
      must(204, await ada.delete(path, { 'if-match': '*' }));
      await makeCollection(ada, 'public', set.name);
    });
  });
});
