import { createApp } from '../../src/app.js';
import { loadConfig } from '../../src/config.js';
import { Leftovers } from '../../src/platform/resource/leftovers.js';
import { startApp, type TestApp, testEnvironment } from '../support/app.js';
import type { Client, Response } from '../support/client.js';
import { etagOf, type MadeCollection, makeCollection, must, until } from '../support/collections.js';
import { expectProblem } from '../support/problem.js';
import { openSocket } from '../support/raw.js';
import { tally, untilFree } from '../support/uploads.js';

let app: TestApp;
let ada: Client;
let set: MadeCollection;
beforeAll(async () => {
  app = await startApp({ BODY_LIMIT_BYTES: '100000' });
  ada = await app.user('ada');
});
beforeEach(async () => {
  set = await makeCollection(ada);
});
afterAll(() => app?.close());

let keys = 0;
const freshKey = () => ({ 'idempotency-key': `key ${++keys}` });
const count = async (of = set) => (await tally(app.database, of))[0];

/** Expects the second answer to be the first one, replayed. */
function expectReplay(first: Response, second: Response): void {
  expect([second.status, second.text]).toEqual([first.status, first.text]);
  for (const name of ['location', 'etag', 'content-type', 'cache-control']) {
    expect([name, second.headers.get(name)]).toEqual([name, first.headers.get(name)]);
  }
  expect(second.headers.get('idempotency-replayed')).toBe('true');
}

describe('a record made under an Idempotency-Key', () => {
  const body = { data: { text: 'é \\ " \u2028 🦀', n: [1.5e-7, null, {}] }, occurredAt: '2001-02-03T04:05:06.789Z' };

  it('has a Location and a tag, and can be read, like any other', async () => {
    const made = must(201, await ada.post(set.records, body, freshKey()));
    expect(made.headers.get('idempotency-replayed')).toBeNull();
    expect(made.body).toMatchObject({ ...body, version: 1 });
    const read = must(200, await ada.get(made.headers.get('location') as string));
    expect(read.body).toEqual(made.body);
    expect(etagOf(read)).toBe(etagOf(made));
    const before = Date.now();
    const without = must(201, await ada.post(set.records, { data: {} }, freshKey()));
    expect(Date.parse(without.body.occurredAt)).toBeGreaterThanOrEqual(before - 1000);
    expect(Date.parse(without.body.occurredAt)).toBeLessThanOrEqual(Date.now() + 1000);
  });

  it('is not made again when the request is repeated, which gets the first answer', async () => {
    const key = freshKey();
    const first = must(201, await ada.post(set.records, body, key));
    expectReplay(first, await ada.post(set.records, body, key));
    // The same body, written differently.
    const other = JSON.stringify({ occurredAt: '2001-02-03T05:05:06.789+01:00', data: body.data }, null, 2);
    expectReplay(first, await ada.post(set.records, other, key));
    expect(await count()).toBe(1);
  });

  it('is replayed as it was made, even when it has been changed or deleted since', async () => {
    const key = freshKey();
    const first = must(201, await ada.post(set.records, body, key));
    const path = first.headers.get('location') as string;
    const changed = must(200, await ada.put(path, { data: { changed: true } }, { 'if-match': etagOf(first) }));
    expectReplay(first, await ada.post(set.records, body, key));
    must(204, await ada.delete(path, { 'if-match': etagOf(changed) }));
    expectReplay(first, await ada.post(set.records, body, key));
    expect(await count()).toBe(0);
  });

  it('reserves its key against another body and another collection', async () => {
    const key = freshKey();
    const other = await makeCollection(ada);
    must(201, await ada.post(set.records, body, key));
    const asked = [
      ada.post(set.records, { ...body, data: { ...body.data, n: 0 } }, key),
      ada.post(set.records, { data: body.data }, key),
      ada.post(other.records, body, key),
      ada.post(`${set.records}/bulk`, [body], key),
    ];
    for (const answer of await Promise.all(asked)) expectProblem(answer, 'idempotency-key-reused');
    expect([await count(), await count(other)]).toEqual([1, 0]);
  });

  it('does not reserve its key for other callers', async () => {
    const key = freshKey();
    const first = must(201, await ada.post(set.records, body, key));
    const second = must(201, await app.admin.post(set.records, body, key));
    expect(second.body.id).not.toBe(first.body.id);
    expect(second.headers.get('idempotency-replayed')).toBeNull();
    expect(await count()).toBe(2);
  });
});

it('is made once for 50 requests at once with one key', async () => {
  for (let round = 0; round < 3; round++) {
    const key = freshKey();
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => ada.post(set.records, { data: { round } }, key)),
    );
    const made = answers.filter(({ status }) => status === 201);
    expect(made.filter(({ headers }) => !headers.has('idempotency-replayed'))).toHaveLength(1);
    expect(new Set(made.map(({ text }) => text)).size).toBe(1);
    for (const answer of answers) if (answer.status !== 201) expectProblem(answer, 'conflict');
    expect(await count()).toBe(round + 1);
  }
});

it('is made once for a caller who hangs up before the answer and repeats the request', async () => {
  for (let delay = 0; delay < 12; delay++) {
    const key = freshKey();
    const body = JSON.stringify({ data: { delay } });
    const socket = openSocket(app.url);
    socket.write(
      `POST ${set.records} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${ada.tokens?.accessToken}\r\n` +
        `Idempotency-Key: ${key['idempotency-key']}\r\nContent-Type: application/json\r\n` +
        `Content-Length: ${body.length}\r\n\r\n${body}`,
      // The connection is cut at a different time in each round: before, while and after the record is made.
      () => setTimeout(() => socket.destroy(), delay),
    );
    await new Promise((resolve) => socket.once('close', resolve));
    const first = must(201, await untilFree(() => ada.post(set.records, body, key)));
    expectReplay(first, await ada.post(set.records, body, key));
    expect(await tally(app.database, set)).toEqual([delay + 1, expect.any(Number)]);
  }
});

it('frees its key when the request fails', async () => {
  const key = freshKey();
  const large = { data: { x: 'x'.repeat(70_000) } };
  expectProblem(await ada.post(set.records, { data: 1 }, key), 'invalid-request');
  expectProblem(await ada.post(set.records, '{', key), 'invalid-request');
  expectProblem(await ada.post('/api/v1/data/nothing/records', { data: {} }, key), 'not-found');
  expectProblem(await ada.post(set.records, large, key), 'content-too-large');
  expectProblem(await ada.post(set.records, { data: { x: 'x'.repeat(200_000) } }, key), 'content-too-large');
  expectProblem(await ada.post(`${set.records}/bulk`, '[', key), 'invalid-request');
  expectProblem(await ada.post(`${set.records}/bulk?atomic=true`, [{ data: 1 }], key), 'unprocessable-content');
  expect(await app.database.query('SELECT FROM idempotency_keys WHERE key = $1', [key['idempotency-key']])).toEqual([]);
  const made = must(201, await ada.post(set.records, { data: {} }, key));
  expect(made.headers.get('idempotency-replayed')).toBeNull();
});

it('needs a key of 1 to 255 ASCII characters', async () => {
  for (const key of ['', 'x'.repeat(256), 'schlüssel', 'tab\tinside']) {
    for (const path of [set.records, `${set.records}/bulk`]) {
      const answer = await ada.post(path, path === set.records ? { data: {} } : [], { 'idempotency-key': key });
      expectProblem(answer, 'invalid-request');
      expect(answer.body.errors[0].pointer).toBe('idempotency-key');
    }
  }
  expect(await count()).toBe(0);
  for (const key of ['x', 'y'.repeat(255), '"8e03978e-40d5-43dd-bc93-6894a57f9324"']) {
    must(201, await ada.post(set.records, { data: {} }, { 'idempotency-key': key }));
  }
});

describe('after 24 hours, a key', () => {
  const grow = (key: object, hours: number) =>
    app.database.query(`UPDATE idempotency_keys SET created_at = now() - $2 * interval '1 h' WHERE key = $1`, [
      Object.values(key)[0],
      hours,
    ]);

  it('can be used anew, for one record and for an upload', async () => {
    const key = freshKey();
    const first = must(201, await ada.post(set.records, { data: {} }, key));
    await grow(key, 23.9);
    expectReplay(first, await ada.post(set.records, { data: {} }, key));
    await grow(key, 24.1);
    const second = must(201, await ada.post(set.records, { data: { another: 1 } }, key));
    expectReplay(second, await ada.post(set.records, { data: { another: 1 } }, key));
    await grow(key, 24.1);
    const third = must(200, await ada.post(`${set.records}/bulk`, [{ data: {} }], key));
    expect(third.headers.get('idempotency-replayed')).toBeNull();
    expectReplay(third, await ada.post(`${set.records}/bulk`, [{ data: {} }], key));
    expect(await count()).toBe(3);
    await grow(key, 24.1);
    must(201, await ada.post(set.records, { data: {} }, key));
  });

  it('is removed, and younger keys are not', async () => {
    const [old, young] = [freshKey(), freshKey()];
    for (const key of [old, young]) must(201, await ada.post(set.records, { data: {} }, key));
    await grow(old, 24.1);
    const other = await createApp(loadConfig(testEnvironment(app.database.url)));
    await other.nest.get(Leftovers, { strict: false }).removeExpiredKeys();
    await other.stop();
    const left = await app.database.query<{ key: string }>('SELECT key FROM idempotency_keys WHERE key = ANY ($1)', [
      [old, young].map((key) => key['idempotency-key']),
    ]);
    expect(left.map(({ key }) => key)).toEqual([young['idempotency-key']]);
  });
});

describe('the stored answer of a key', () => {
  const keptOf = async (who: Client) =>
    (await app.database.query('SELECT FROM idempotency_keys WHERE caller_id::text = $1', [who.userId])).length;
  const use = async (who: Client, records: string) => {
    must(201, await who.post(records, { data: { secret: 1 } }, freshKey()));
    must(200, await who.post(`${records}/bulk`, [{ data: {} }, { data: 'secret' }], freshKey()));
  };

  it('is removed with its collection, and only then', async () => {
    const eve = await app.user();
    const other = await makeCollection(eve);
    const gone = await makeCollection(eve);
    await use(eve, other.records);
    await use(eve, gone.records);
    expect(await keptOf(eve)).toBe(4);
    must(204, await eve.delete(gone.path, { 'if-match': '*' }));
    await until(async () => (await keptOf(eve)) === 2);
  });

  it('is removed with its caller, whoever owns the collection', async () => {
    const admin = await app.user();
    must(200, await app.admin.patch(`/api/v1/users/${admin.userId}`, { role: 'admin' }, { 'if-match': '*' }));
    await use(admin, set.records);
    must(204, await app.admin.delete(`/api/v1/users/${admin.userId}`, { 'if-match': '*' }));
    await until(async () => (await keptOf(admin)) === 0);
    expect(await count()).toBe(2);
  });
});
