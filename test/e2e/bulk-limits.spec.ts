import { once } from 'node:events';
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { ADMIN, startApp, type TestApp } from '../support/app.js';
import { Client } from '../support/client.js';
import { type MadeCollection, makeCollection, must, until } from '../support/collections.js';
import { endPrograms, productionSettings, startMain } from '../support/process.js';

const LIMIT = 1_000_000;

let app: TestApp;
let ada: Client;
let set: MadeCollection;
beforeAll(async () => {
  app = await startApp({ BULK_LIMIT_BYTES: String(LIMIT) });
  ada = await app.user('ada');
});
beforeEach(async () => {
  set = await makeCollection(ada);
});
afterAll(async () => {
  await endPrograms();
  await app?.close();
});

const NDJSON = { 'content-type': 'application/x-ndjson' };
const LINE = `{"data":{"n":"${'x'.repeat(10)}"}}\n`;

const countOf = async ({ name }: MadeCollection) =>
  (
    await app.database.query<{ n: number }>(
      `SELECT count(*)::int AS n FROM records r JOIN collections c ON c.id = r.collection_id WHERE c.name = $1`,
      [name],
    )
  )[0]!.n;

/** An upload that the test writes piece by piece. */
function open(client: Client, { records }: MadeCollection, headers: Record<string, string> = {}, query = '') {
  const request = httpRequest(`${client.url}${records}/bulk${query}`, {
    method: 'POST',
    agent: false,
    headers: { ...NDJSON, authorization: `Bearer ${client.tokens?.accessToken}`, ...headers },
  });
  const answer = (async () => {
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    const body = JSON.parse(Buffer.concat(await response.toArray()).toString());
    return { status: response.statusCode, body };
  })();
  // The test awaits the answer later; until then a failure is not unhandled.
  answer.catch(() => {});
  return { request, answer };
}

const write = (request: ClientRequest, text: string) =>
  new Promise<void>((resolve) => request.write(text, () => resolve()));

describe('a bulk upload over the limit', () => {
  it('is refused with 413 by its Content-Length, however much is still to come, and stores nothing', async () => {
    for (const bytes of [LIMIT + 1, ...Array.from({ length: 10 }, () => 20 * LIMIT)]) {
      const text = LINE.repeat(bytes / LINE.length).padEnd(bytes);
      const { status, body } = await ada.post(`${set.records}/bulk`, text, NDJSON);
      expect([status, body.type]).toEqual([413, 'urn:problem-type:floodgate:content-too-large']);
    }
    expect(await countOf(set)).toBe(0);
  });

  it('is refused with 413 in chunks as soon as it passes the limit, while it is still being sent', async () => {
    const { request, answer } = open(ada, set);
    for (let sent = 0; sent <= LIMIT; sent += 100_000) await write(request, LINE.repeat(100_000 / LINE.length));
    await write(request, LINE.repeat(2000));
    const { status, body } = await answer;
    request.destroy();
    expect([status, body.type]).toEqual([413, 'urn:problem-type:floodgate:content-too-large']);
    expect((await countOf(set)) % 5000).toBe(0);
  });

  it('is accepted up to the last byte of the limit', async () => {
    const text = LINE.repeat(3).padEnd(LIMIT, ' ');
    const { body } = must(200, await ada.post(`${set.records}/bulk`, text.slice(0, LIMIT), NDJSON));
    expect([body.inserted, body.failed]).toEqual([3, 0]);
  });
});

it('accepts NDJSON and JSON in UTF-8, and answers 415 to anything else', async () => {
  const types = ['text/plain', 'application/merge-patch+json', 'application/x-www-form-urlencoded', 'text/x-ndjson'];
  for (const type of [...types, 'multipart/form-data; boundary=x', 'application/x-ndjson; charset=latin1', 'x']) {
    const { status } = await ada.post(`${set.records}/bulk`, LINE, { 'content-type': type });
    expect([type, status]).toEqual([type, 415]);
  }
  for (const type of ['application/x-ndjson; charset="UTF-8"', 'APPLICATION/X-NDJSON']) {
    expect((await ada.post(`${set.records}/bulk`, LINE, { 'content-type': type })).status).toBe(200);
  }
  expect((await ada.post(`${set.records}/bulk`)).status).toBe(400);
  expect((await ada.post(set.records, LINE, NDJSON)).status).toBe(415);
});

it('answers 403 to a caller who may read the collection but not write to it, and stores nothing', async () => {
  const bob = await app.user('bob');
  expect((await bob.post(`${set.records}/bulk`, LINE, NDJSON)).status).toBe(403);
  expect(await countOf(set)).toBe(0);
});

it('answers 400 to a broken array while it is still being sent', async () => {
  const { request, answer } = open(ada, set, { 'content-type': 'application/json' });
  await write(request, '{"data":[');
  expect((await answer).status).toBe(400);
  request.destroy();
});

describe('the refusal of an upload that was partly stored', () => {
  const many = LINE.repeat(12_000);
  const array = `[${many.trim().replaceAll('\n', ',')}`;

  it.each([
    ['an array that breaks off', `${array},{`, 400],
    ['an array with something after it', `${array}] x`, 400],
    ['more than the limit', many.repeat(4), 413],
  ])('says how many records are stored: %s', async (_, text, status) => {
    const isLines = !text.startsWith('[');
    // In chunks, so that the limit is reached on the way.
    const { request, answer } = open(ada, set, isLines ? {} : { 'content-type': 'application/json' });
    request.on('error', () => {});
    for (let at = 0; at < text.length; at += 100_000) void write(request, text.slice(at, at + 100_000));
    request.end();
    const found = await answer;
    expect(found.status).toBe(status);
    expect(found.body.inserted).toBe(await countOf(set));
    expect(found.body.inserted).toBeGreaterThanOrEqual(10_000);
  });

  it('says that none is stored when the upload is atomic', async () => {
    const answer = await ada.post(`${set.records}/bulk?atomic=true`, `${array},{`);
    expect([answer.status, answer.body.inserted]).toEqual([400, 0]);
  });
});

it('answers 404 when the collection is deleted meanwhile, and stores no more of the upload', async () => {
  const { request, answer } = open(ada, set);
  await write(request, LINE.repeat(5000));
  await until(async () => (await countOf(set)) === 5000);
  must(204, await ada.delete(set.path, { 'if-match': set.etag }));
  await write(request, LINE.repeat(6000));
  request.end();
  expect(await answer).toMatchObject({
    status: 404,
    body: { detail: 'There is no collection with this name.', inserted: 5000 },
  });
  const left = 'SELECT count(*)::int AS n FROM records WHERE collection_id NOT IN (SELECT id FROM collections)';
  await until(async () => (await app.database.query<{ n: number }>(left))[0]?.n === 0);
});

it('stores nothing of an atomic upload into a collection that is deleted meanwhile', async () => {
  const { request, answer } = open(ada, set, {}, '?atomic=true');
  await write(request, LINE.repeat(6000));
  must(204, await ada.delete(set.path, { 'if-match': set.etag }));
  request.end(LINE);
  expect([200, 404]).toContain((await answer).status);
  const left = 'SELECT count(*)::int AS n FROM records WHERE collection_id NOT IN (SELECT id FROM collections)';
  await until(async () => (await app.database.query<{ n: number }>(left))[0]?.n === 0);
});

describe('a cut-off upload', () => {
  it('keeps its complete batches, and nothing when it is atomic', async () => {
    const atomic = await makeCollection(ada);
    for (const [target, query, left] of [
      [set, '', 10_000],
      [atomic, '?atomic=true', 0],
    ] as const) {
      const { request } = open(ada, target, {}, query);
      request.on('error', () => {});
      await write(request, LINE.repeat(12_345));
      if (!query) await until(async () => (await countOf(target)) === 10_000);
      await write(request, '{"data":{"cut":');
      request.destroy();
      await new Promise((resolve) => setTimeout(resolve, 500));
      expect(await countOf(target)).toBe(left);
    }
    // No connection is left in a bad state: the pool still serves.
    const many = await Promise.all(Array.from({ length: 30 }, () => ada.post(set.records, { data: {} })));
    expect(new Set(many.map(({ status }) => status))).toEqual(new Set([201]));
  });

  it('is logged with the number of stored records, and so is an upload whose collection is deleted', async () => {
    const program = startMain(productionSettings(app.database.url));
    const admin = await new Client(await program.url()).signIn(ADMIN.email, ADMIN.password);
    const cut = open(admin, set);
    cut.request.on('error', () => {});
    await write(cut.request, LINE.repeat(7000));
    await until(async () => (await countOf(set)) === 5000);
    cut.request.destroy();
    await program.says(new RegExp(`upload to ${set.name} ended early, with 5000 records stored`));

    const doomed = await makeCollection(ada);
    const { request, answer } = open(admin, doomed);
    await write(request, LINE.repeat(5000));
    await until(async () => (await countOf(doomed)) === 5000);
    must(204, await ada.delete(doomed.path, { 'if-match': doomed.etag }));
    request.end(LINE);
    expect((await answer).status).toBe(404);
    await program.says(new RegExp(`upload to ${doomed.name} ended early, with 5000 records stored`));
  });
});
