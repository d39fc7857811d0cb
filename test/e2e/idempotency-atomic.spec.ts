import { startApp, type TestApp } from '../support/app.js';
import type { Client } from '../support/client.js';
import { type MadeCollection, makeCollection, must, until } from '../support/collections.js';
import { expectProblem } from '../support/problem.js';
import { lines, NDJSON, openUpload, tally, untilFree } from '../support/uploads.js';

let app: TestApp;
let ada: Client;
let set: MadeCollection;
let atomic: string;
beforeAll(async () => {
  app = await startApp({ STREAM_CONCURRENCY: '2', DATABASE_POOL_SIZE: '2', DATABASE_ACQUIRE_TIMEOUT_MS: '500' });
  ada = await app.user('ada');
});
beforeEach(async () => {
  set = await makeCollection(ada);
  atomic = `${set.records}/bulk?atomic=true`;
});
afterAll(() => app?.close());

let keys = 0;
const freshKey = () => ({ 'idempotency-key': `upload-${++keys}` });
const upload = (text: string, key: Record<string, string>, path = atomic) =>
  ada.post(path, text, { ...NDJSON, ...key });
const stored = async () => (await tally(app.database, set))[0];
const inTransaction = () =>
  app.database.query(
    `SELECT FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'`,
  );

describe('an atomic upload under an Idempotency-Key', () => {
  it('gets the first answer again when it is repeated, and is refused with another body', async () => {
    const key = freshKey();
    const first = must(200, await upload(lines(1, 6000), key));
    const second = must(200, await upload(lines(1, 6000), key));
    expect([second.text, second.headers.get('idempotency-replayed')]).toEqual([first.text, 'true']);
    expectProblem(await upload(lines(1, 6001), key), 'idempotency-key-reused');
    expectProblem(await upload(lines(1, 6000), key, `${set.records}/bulk`), 'idempotency-key-reused');
    expect(await tally(app.database, set)).toEqual([6000, 6000]);
  });

  it('frees its key when a line is bad, so that a corrected body can use it', async () => {
    const key = freshKey();
    for (let attempt = 0; attempt < 2; attempt++) {
      const refused = await upload(`${lines(1, 6000)}{"data":1}\n`, key);
      expectProblem(refused, 'unprocessable-content');
      expect(refused.body).toMatchObject({ inserted: 0, failed: 1, errors: [{ line: 6001 }] });
      expect(await stored()).toBe(0);
    }
    const { body, headers } = must(200, await upload(lines(1, 6000), key));
    expect([body.inserted, headers.get('idempotency-replayed')]).toEqual([6000, null]);
    expect(await stored()).toBe(6000);
  });

  it('starts over after it was cut off', async () => {
    const key = freshKey();
    const { request, write } = openUpload(ada, atomic, key);
    await write(lines(1, 12_000));
    await until(async () => (await inTransaction()).length === 1);
    request.destroy();
    expect(must(200, await untilFree(() => upload(lines(1, 7000), key))).body.inserted).toBe(7000);
    expect(await tally(app.database, set)).toEqual([7000, 7000]);
  });
});

it('answers other requests while atomic uploads are idle, and refuses atomic uploads beyond their share', async () => {
  const key = freshKey();
  const open = [freshKey(), freshKey()].map((held) => openUpload(ada, atomic, held));
  await Promise.all(open.map(({ write }, index) => write(lines(1 + 10 * index, 10 + 10 * index))));
  await until(async () => (await inTransaction()).length === 2);
  for (let round = 0; round < 5; round++) {
    must(201, await ada.post(set.records, { data: { n: -round } }, freshKey()));
    must(200, await ada.get(set.records));
    must(200, await ada.get(`/api/v1/data/${set.name}/stats`));
    must(200, await upload(lines(100 + round, 100 + round), freshKey(), `${set.records}/bulk`));
  }
  expectProblem(await upload(lines(200, 200), key), 'temporary-reduced-capacity');
  for (const { request } of open) request.end();
  for (const { answer } of open) expect(await answer).toMatchObject({ status: 200, body: { inserted: 10 } });
  must(200, await upload(lines(200, 200), key));
  expect(await tally(app.database, set)).toEqual([31, 31]);
});

it('gets a refusal through to callers who are still sending a large body', async () => {
  const key = freshKey();
  const large = lines(1, 1_000_000);
  const running = openUpload(ada, `${set.records}/bulk`, key);
  await running.write(lines(1, 10));
  await until(
    async () =>
      (await app.database.query('SELECT FROM idempotency_keys WHERE key = $1', Object.values(key))).length === 1,
  );
  for (let round = 0; round < 3; round++) {
    expectProblem(await upload(large, key, `${set.records}/bulk`), 'conflict');
    expectProblem(await upload(large, key), 'idempotency-key-reused');
  }
  running.request.end();
  await running.answer;
  for (let round = 0; round < 3; round++) {
    expectProblem(await upload(large, key, `${set.records}/bulk`), 'idempotency-key-reused');
  }
  expect(await stored()).toBe(10);
});
