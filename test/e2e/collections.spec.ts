import { startApp, type TestApp } from '../support/app.js';
import type { Client } from '../support/client.js';
import { etagOf, freshName, makeCollection, makeRecord, must, until } from '../support/collections.js';

let app: TestApp;
let ada: Client;
let bob: Client;
beforeAll(async () => {
  app = await startApp();
  ada = await app.user('ada');
  bob = await app.user('bob');
});
afterAll(() => app?.close());

const at = (name: string) => `/api/v1/data/${name}`;

describe('PUT /api/v1/data/{collection}', () => {
  it('makes a collection, and answers 201 with its location and its tag', async () => {
    const made = await ada.put(at('flights'), { visibility: 'public', description: 'Flights of 2001' });
    expect(made.status).toBe(201);
    expect(made.headers.get('location')).toBe(at('flights'));
    expect(etagOf(made)).toMatch(/^"[^"]+"$/);
    const timestamp = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    expect(made.body).toEqual({
      name: 'flights',
      visibility: 'public',
      description: 'Flights of 2001',
      ownerId: ada.userId,
      version: 1,
      createdAt: timestamp,
      updatedAt: timestamp,
    });
    const read = await app.client.get(at('flights'));
    expect([read.status, etagOf(read), read.body]).toEqual([200, etagOf(made), made.body]);
  });

  it('changes it with If-Match, and answers 200 with a new version and a new tag', async () => {
    const { path, etag } = await makeCollection(ada);
    const changed = await ada.put(path, { visibility: 'private', description: 'x' }, { 'if-match': etag });
    expect(changed.status).toBe(200);
    expect(changed.headers.get('location')).toBeNull();
    expect(changed.body).toMatchObject({ visibility: 'private', description: 'x', version: 2 });
    expect(etagOf(changed)).not.toBe(etag);
    expect((await app.client.get(path)).status).toBe(404);
  });

  it('lets an admin change a collection, and keeps its owner', async () => {
    const { path, etag } = await makeCollection(ada, 'private');
    const changed = await app.admin.put(path, { visibility: 'public', description: 'x' }, { 'if-match': etag });
    expect([changed.status, changed.body.ownerId]).toEqual([200, ada.userId]);
  });

  it('answers 428 without If-Match and 412 to a stale tag, and changes nothing', async () => {
    const { path, etag } = await makeCollection(ada);
    const input = { visibility: 'public', description: 'changed' };
    const changed = must(200, await ada.put(path, input, { 'if-match': etag }));
    expect((await ada.put(path, { visibility: 'private' })).status).toBe(428);
    expect((await ada.put(path, { visibility: 'private' }, { 'if-match': etag })).status).toBe(412);
    expect((await ada.get(path)).body).toEqual(changed.body);
  });

  it.each(['"1-abc"', '*'])(
    'answers 412 to If-Match: %s when the collection does not exist, and makes none',
    async (tag) => {
      const name = freshName();
      expect((await ada.put(at(name), { visibility: 'public' }, { 'if-match': tag })).status).toBe(412);
      expect((await ada.get(at(name))).status).toBe(404);
    },
  );

  it('accepts names of 1 to 63 characters of a-z, 0-9 and - that begin with a letter', async () => {
    for (const name of ['x', `n${'0-'.repeat(31)}`, 'a-', 'constructor']) {
      expect([name, (await ada.put(at(name), { visibility: 'public' })).status]).toEqual([name, 201]);
    }
  });

  it('refuses any other name with 400, and names the parameter', async () => {
    for (const name of [`n${'a'.repeat(63)}`, 'Flights', '1a', '-a', 'a_b', 'a.b', 'a%20b', '%C3%A9', 'a%0a']) {
      for (const method of ['PUT', 'GET', 'DELETE']) {
        const answer = await ada.send(method, at(name), method === 'PUT' ? { visibility: 'public' } : undefined);
        expect([name, method, answer.status, answer.body.errors?.[0]?.pointer]).toEqual([
          name,
          method,
          400,
          'collection',
        ]);
      }
    }
  });

  it('refuses an invalid collection, and points at the mistake', async () => {
    const refused: [unknown, string][] = [
      [{}, '/visibility'],
      [{ visibility: 'secret' }, '/visibility'],
      [{ visibility: 'public', description: 7 }, '/description'],
      [{ visibility: 'public', description: 'x'.repeat(1001) }, '/description'],
      [{ visibility: 'public', ownerId: 'x' }, '/ownerId'],
      [[], ''],
    ];
    const name = freshName();
    for (const [body, pointer] of refused) {
      const answer = await ada.put(at(name), body);
      expect([answer.status, answer.body.errors]).toEqual([400, [{ pointer, detail: expect.any(String) }]]);
    }
    expect((await ada.get(at(name))).status).toBe(404);
  });

  it("answers 409 for the name of another user's private collection, and 403 for that of a public one", async () => {
    const secret = await makeCollection(ada, 'private');
    const open = await makeCollection(ada, 'public');
    expect((await bob.put(secret.path, { visibility: 'public' })).status).toBe(409);
    expect((await bob.put(secret.path, { visibility: 'public' }, { 'if-match': secret.etag })).status).toBe(412);
    expect((await bob.put(open.path, { visibility: 'private' }, { 'if-match': open.etag })).status).toBe(403);
    expect((await ada.get(secret.path)).body.ownerId).toBe(ada.userId);
    expect((await ada.get(open.path)).body.visibility).toBe('public');
  });

  it('answers 428 to all but one of the requests by which an owner makes the same collection at once', async () => {
    for (let round = 0; round < 20; round++) {
      const path = `/api/v1/data/twice-${round}`;
      const answers = await Promise.all([1, 2, 3].map(() => ada.put(path, { visibility: 'private' })));
      expect(answers.map(({ status }) => status).sort()).toEqual([201, 428, 428]);
    }
  });

  it('says that the collection does not exist when a missing one is changed with If-Match', async () => {
    const answer = await ada.put('/api/v1/data/never-made', { visibility: 'private' }, { 'if-match': '*' });
    expect([answer.status, answer.body.detail]).toEqual([412, expect.stringMatching(/There is nothing/)]);
  });

  it('gives a name that two users request at once to one of them: 201 and 409', async () => {
    for (let round = 0; round < 10; round++) {
      const path = at(freshName());
      const answers = await Promise.all([ada, bob].map((user) => user.put(path, { visibility: 'private' })));
      expect(answers.map(({ status }) => status).sort()).toEqual([201, 409]);
      const winner = answers[0]?.status === 201 ? ada : bob;
      expect((await winner.get(path)).body.ownerId).toBe(winner.userId);
    }
  });
});

describe('GET /api/v1/data/{collection}', () => {
  it("answers 404 for another user's private collection, in the same words as for one that does not exist", async () => {
    const secret = await makeCollection(ada, 'private');
    const words = ({ body }: { body: Record<string, unknown> }) => ({ ...body, requestId: '', instance: '' });
    for (const stranger of [app.client, bob]) {
      const hidden = await stranger.get(secret.path);
      const missing = await stranger.get(at('no-such-one'));
      expect([hidden.status, missing.status]).toEqual([404, 404]);
      expect(words(hidden)).toEqual(words(missing));
      expect([...hidden.headers.keys()]).toEqual([...missing.headers.keys()]);
    }
  });

  it('answers 304 to a caller who has it', async () => {
    const { path, etag } = await makeCollection(ada);
    const { status, text, headers } = await app.client.get(path, { 'if-none-match': etag });
    expect([status, text, headers.get('etag')]).toEqual([304, '', etag]);
  });

  it('lets caches store public collections, and no shared cache a private one', async () => {
    const open = await makeCollection(ada, 'public');
    const secret = await makeCollection(ada, 'private');
    const caching = async (path: string) => (await ada.get(path)).headers.get('cache-control');
    expect(await caching(open.path)).toBe('public, max-age=0, must-revalidate');
    expect(await caching(secret.path)).toBe('private, no-cache');
    expect(await caching(open.records)).toBe('no-cache');
    expect(await caching(secret.records)).toBe('private, no-cache');
    expect((await app.client.get('/api/v1/data')).headers.get('cache-control')).toBe('no-cache');
    expect(await caching('/api/v1/data')).toBe('private, no-cache');
  });
});

describe('DELETE /api/v1/data/{collection}', () => {
  it('answers 204, hides the collection at once, and removes its records in the background', async () => {
    const collection = await makeCollection(ada);
    const record = await makeRecord(ada, collection);
    const count = 'SELECT count(*)::int AS n FROM records';
    const [before] = await app.database.query<{ n: number }>(count);
    const removed = await ada.delete(collection.path, { 'if-match': collection.etag });
    expect([removed.status, removed.text]).toEqual([204, '']);
    for (const path of [collection.path, collection.records, record.path]) {
      expect((await ada.get(path)).status).toBe(404);
    }
    expect((await ada.post(collection.records, { data: {} })).status).toBe(404);
    await until(async () => (await app.database.query<{ n: number }>(count))[0]?.n === before!.n - 1);
  });

  it('answers 428 without If-Match and 412 to a stale tag, and keeps the collection', async () => {
    const { path, etag } = await makeCollection(ada);
    must(200, await ada.put(path, { visibility: 'private' }, { 'if-match': etag }));
    expect((await ada.delete(path)).status).toBe(428);
    expect((await ada.delete(path, { 'if-match': etag })).status).toBe(412);
    expect((await ada.get(path)).status).toBe(200);
  });

  it('never gives a new collection of the same name the tag or the records of the old one', async () => {
    const tags = new Set<string>();
    const name = freshName();
    for (let round = 0; round < 20; round++) {
      const collection = await makeCollection(ada, 'public', name);
      expect((await ada.get(collection.records)).body.items).toEqual([]);
      await makeRecord(ada, collection);
      tags.add(collection.etag);
      must(204, await ada.delete(collection.path, { 'if-match': collection.etag }));
    }
    expect(tags.size).toBe(20);
  });
});
