import { ADMIN, startApp, type TestApp } from '../support/app.js';
import { Client } from '../support/client.js';
import { etagOf, type MadeCollection, makeCollection, makeRecord, must, readAll } from '../support/collections.js';
import { endPrograms, productionSettings, startMain } from '../support/process.js';

let app: TestApp;
let ada: Client;
let set: MadeCollection;
beforeAll(async () => {
  app = await startApp();
  ada = await app.user('ada');
  set = await makeCollection(ada);
});
afterAll(async () => {
  await endPrograms();
  await app?.close();
});

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const NOBODY = '01890000-0000-7000-8000-000000000000';

describe('POST records', () => {
  it('stores a record, and answers 201 with its location and its tag', async () => {
    const made = await ada.post(set.records, { data: { delay: 14 }, occurredAt: '2001-01-01T12:30:00Z' });
    expect(made.status).toBe(201);
    const { id, createdAt } = made.body;
    expect(id).toMatch(UUID_V7);
    expect(made.headers.get('location')).toBe(`${set.records}/${id}`);
    expect(made.body).toEqual({
      id,
      data: { delay: 14 },
      occurredAt: '2001-01-01T12:30:00.000Z',
      version: 1,
      createdAt,
      updatedAt: createdAt,
    });
    const read = await app.client.get(made.headers.get('location') as string);
    expect([read.status, etagOf(read), read.body]).toEqual([200, etagOf(made), made.body]);
  });

  it('defaults occurredAt to the current time', async () => {
    const before = Date.now();
    const { body } = must(201, await ada.post(set.records, { data: {} }));
    expect(Date.parse(body.occurredAt)).toBeGreaterThanOrEqual(before - 1000);
    expect(Date.parse(body.occurredAt)).toBeLessThanOrEqual(Date.now() + 1000);
  });

  it.each([
    ['2001-06-01T00:30:00+02:00', '2001-05-31T22:30:00.000Z'],
    ['2001-06-01T00:30:00.9999-11:30', '2001-06-01T12:00:00.999Z'],
    ['2001-06-01t00:30:00.5z', '2001-06-01T00:30:00.500Z'],
    ['2001-06-01t00:30:00-00:00', '2001-06-01T00:30:00.000Z'],
    ['0001-01-01T00:00:00Z', '0001-01-01T00:00:00.000Z'],
    ['9999-12-31T23:59:59.999Z', '9999-12-31T23:59:59.999Z'],
  ])('keeps %s as %s', async (given, kept) => {
    const { body } = must(201, await ada.post(set.records, { data: {}, occurredAt: given }));
    expect(body.occurredAt).toBe(kept);
  });

  it.each(['2016-12-31T23:59:60Z', '2016-12-31t18:59:60.5-05:00'])('says that %s is a leap second', async (moment) => {
    const { status, body } = await ada.post(set.records, { data: {}, occurredAt: moment });
    expect([status, body.errors]).toEqual([
      400,
      [{ pointer: '/occurredAt', detail: expect.stringMatching(/leap second/) }],
    ]);
  });

  it('refuses an occurredAt that is not an RFC 3339 timestamp of the years 0001 to 9999', async () => {
    const times = [
      ...['yesterday', '2001-01-01', '2001-01-01T00:00:00', '2001-02-30T00:00:00Z', '2001-01-01T25:00:00Z'],
      ...['0000-06-01T00:00:00Z', '+012345-01-01T00:00:00Z', '9999-12-31T23:30:00-01:00', 'infinity', ''],
      ...[0, null, {}],
    ];
    for (const occurredAt of times) {
      const { status, body } = await ada.post(set.records, { data: {}, occurredAt });
      expect([occurredAt, status, body.errors?.[0]?.pointer]).toEqual([occurredAt, 400, '/occurredAt']);
    }
  });
});

describe('GET a record', () => {
  it('answers 304 to its tag, among others, weak or of a compressed variant, and to *', async () => {
    const { path, etag } = await makeRecord(ada, set);
    const bare = etag.slice(1, -1);
    for (const tags of [etag, `"x", ${etag}`, `W/${etag}`, `"${bare}-gzip"`, `W/"${bare}-br"`, '*']) {
      const { status, text, headers } = await app.client.get(path, { 'if-none-match': tags });
      expect([tags, status, text, headers.get('etag')]).toEqual([tags, 304, '', etag]);
      expect(headers.get('cache-control')).toBe('public, max-age=0, must-revalidate');
    }
    expect((await app.client.get(path, { 'if-none-match': '"x"' })).status).toBe(200);
  });

  it('says private when the collection is private', async () => {
    const { path } = await makeRecord(ada, await makeCollection(ada, 'private'));
    expect((await ada.get(path)).headers.get('cache-control')).toBe('private, no-cache');
  });

  it("answers 404 for a missing record and for another collection's, and 400 for an invalid id", async () => {
    const other = await makeCollection(ada);
    const { id, path, etag } = await makeRecord(ada, other);
    for (const odd of [NOBODY, id]) {
      const there = `${set.records}/${odd}`;
      const changes: Record<string, string>[] = [{ 'if-match': '*' }, { 'if-match': etag }, {}];
      expect((await ada.get(there)).status).toBe(404);
      for (const headers of changes) {
        expect((await ada.put(there, { data: {} }, headers)).status).toBe(404);
        expect((await ada.patch(there, { data: {} }, headers)).status).toBe(404);
        expect((await ada.delete(there, headers)).status).toBe(404);
      }
    }
    expect((await ada.get(path)).body).toMatchObject({ data: { a: 1 }, version: 1 });
    const { status, body } = await ada.get(`${set.records}/1`);
    expect([status, body.errors[0].pointer]).toEqual([400, 'id']);
  });
});

describe('PUT a record', () => {
  it('replaces its data and keeps an omitted occurredAt', async () => {
    const { path, etag } = await makeRecord(ada, set, { a: 1, b: 2 }, '2001-01-01T00:00:00.123Z');
    const put = await ada.put(path, { data: { c: 3 } }, { 'if-match': etag });
    expect(put.status).toBe(200);
    expect(put.body).toMatchObject({ occurredAt: '2001-01-01T00:00:00.123Z', version: 2 });
    expect(put.body.data).toEqual({ c: 3 });
    expect(etagOf(put)).not.toBe(etag);
    const moved = { data: {}, occurredAt: '2002-01-01T01:00:00+01:00' };
    const again = must(200, await ada.put(path, moved, { 'if-match': etagOf(put) }));
    expect(again.body).toMatchObject({ data: {}, occurredAt: '2002-01-01T00:00:00.000Z', version: 3 });
    expect((await ada.get(path)).body).toEqual(again.body);
  });
});

it('keeps an old occurredAt to the millisecond, whatever time zone the process runs in', async () => {
  const program = startMain({ ...productionSettings(app.database.url), TZ: 'Europe/Berlin' });
  const admin = await new Client(await program.url()).signIn(ADMIN.email, ADMIN.password);
  // Before 1893 the clocks of Berlin were 53 minutes and 28 seconds ahead of UTC.
  const { path } = await makeRecord(admin, set, { a: 1 }, '1850-06-01T12:00:00.123Z');
  const any = { 'if-match': '*' };
  for (const changed of [await admin.put(path, { data: {} }, any), await admin.patch(path, { data: {} }, any)]) {
    expect(changed.body.occurredAt).toBe('1850-06-01T12:00:00.123Z');
  }
  const before = '1850-06-01T12:00:00.122Z';
  await makeRecord(admin, set, { a: 2 }, before);
  const query = `from=${before}&to=1850-06-02T00:00:00Z&limit=1&order=asc`;
  const times = await readAll<{ occurredAt: string }>(admin, `${set.records}?${query}`);
  expect(times.map(({ occurredAt }) => occurredAt)).toEqual([before, '1850-06-01T12:00:00.123Z']);
});

describe('PATCH a record', () => {
  it.each(['application/merge-patch+json', 'application/json'])('merges %s into its data', async (type) => {
    const data = { keep: 1, gone: 2, list: [1, { x: 1 }, 3], deep: { keep: true, gone: true }, text: 'x' };
    const { path, etag } = await makeRecord(ada, set, data, '2001-01-01T00:00:00Z');
    const patch = {
      gone: null,
      list: [null, 9],
      deep: { gone: null, made: { x: null, y: 0 } },
      text: { a: 1 },
    };
    const patched = await ada.patch(path, { data: patch }, { 'if-match': etag, 'content-type': type });
    expect(patched.status).toBe(200);
    expect(patched.body.data).toEqual({
      keep: 1,
      list: [null, 9],
      deep: { keep: true, made: { y: 0 } },
      text: { a: 1 },
    });
    expect(patched.body).toMatchObject({ occurredAt: '2001-01-01T00:00:00.000Z', version: 2 });
    expect((await ada.get(path)).body).toEqual(patched.body);
  });

  it('changes occurredAt alone, and refuses to remove required members', async () => {
    const { path } = await makeRecord(ada, set);
    const any = { 'if-match': '*' };
    const moved = must(200, await ada.patch(path, { occurredAt: '1999-12-31T00:00:00Z' }, any));
    expect(moved.body).toMatchObject({ data: { a: 1 }, occurredAt: '1999-12-31T00:00:00.000Z' });
    for (const name of ['data', 'occurredAt', 'version', 'id']) {
      const { status, body } = await ada.patch(path, { [name]: null }, any);
      expect([name, status, body.errors[0].pointer]).toEqual([name, 400, `/${name}`]);
    }
    expect((await ada.get(path)).body).toEqual(moved.body);
  });
});
