import fc from 'fast-check';
import { startApp, type TestApp } from '../support/app.js';
import type { Client } from '../support/client.js';
import { type MadeCollection, makeCollection, must, readAll } from '../support/collections.js';

let app: TestApp;
let ada: Client;
beforeAll(async () => {
  app = await startApp();
  ada = await app.user('ada');
});
afterAll(() => app?.close());

interface Item {
  id: string;
  data: { n: number; text?: string };
  occurredAt: string;
}

const day = (n: number) => `2001-01-${String(n).padStart(2, '0')}T00:00:00.000Z`;

async function fill({ records }: MadeCollection, rows: unknown[]): Promise<void> {
  const headers = { 'content-type': 'application/x-ndjson' };
  const text = rows.map((row) => JSON.stringify(row)).join('\n');
  expect(must(200, await ada.post(`${records}/bulk`, text, headers)).body.inserted).toBe(rows.length);
}

describe('a list of records', () => {
  let set: MadeCollection;
  let other: MadeCollection;
  const list = async (query: string) => must(200, await app.client.get(`${set.records}?${query}`)).body;
  const numbers = async (query: string): Promise<number[]> => (await list(query)).items.map(({ data }: Item) => data.n);

  beforeAll(async () => {
    set = await makeCollection(ada);
    other = await makeCollection(ada);
    const rows = Array.from({ length: 30 }, (_, i) => ({
      data: { n: i + 1, even: i % 2 === 1, tags: [i % 3, 'x'], at: { x: i % 5, y: 1 }, text: 'a?b&c=d é' },
      occurredAt: day(i + 1),
    }));
    await fill(set, rows);
    await fill(other, rows);
  });

  it('has 20 items, newest first, or oldest first with order=asc', async () => {
    const down = Array.from({ length: 20 }, (_, i) => 30 - i);
    expect(await numbers('')).toEqual(down);
    expect(await numbers('order=desc')).toEqual(down);
    expect(await numbers('order=asc&limit=3')).toEqual([1, 2, 3]);
  });

  it('includes from and excludes to', async () => {
    expect(await numbers(`from=${day(3)}&to=${day(6)}`)).toEqual([5, 4, 3]);
    expect(await numbers(`from=${day(29)}`)).toEqual([30, 29]);
    expect(await numbers(`to=${day(3)}&order=asc`)).toEqual([1, 2]);
    expect(await numbers(`from=${encodeURIComponent('2001-01-03T02:00:00+02:00')}&to=${day(4)}`)).toEqual([3]);
    expect(await list(`from=${day(6)}&to=${day(6)}`)).toEqual({ items: [], nextCursor: null });
  });

  it.each([
    ['{}', 30],
    ['{"even":true}', 15],
    ['{"even":true,"at":{"x":1}}', 3],
    ['{"at":{"x":1,"y":1}}', 6],
    ['{"tags":[2]}', 10],
    ['{"tags":["x",0]}', 10],
    ['{"even":1}', 0],
    ['{"text":"a?b&c=d é"}', 30],
    ['{"missing":null}', 0],
  ])('has the records that contain where=%s', async (where, count) => {
    const query = `where=${encodeURIComponent(where)}`;
    const items = await readAll<Item>(app.client, `${set.records}?limit=7&${query}`);
    expect(items).toHaveLength(count);
  });

  it('has 100 items at most, even with a larger limit', async () => {
    const many = await makeCollection(ada);
    const rows = Array.from({ length: 101 }, (_, n) => ({ data: { n } }));
    await fill(many, rows);
    for (const limit of ['100', '101', '999999999', '99999999999999999999', '0101']) {
      const { body } = must(200, await ada.get(`${many.records}?limit=${limit}`));
      expect([limit, body.items.length, typeof body.nextCursor]).toEqual([limit, 100, 'string']);
    }
    expect(must(200, await ada.get(`${many.records}?limit=1`)).body.items).toHaveLength(1);
  });

  it.each([
    ...['limit=0', 'limit=-1', 'limit=1.5', 'limit=0x10', 'limit=', 'limit=1e1', 'limit=%201', 'limit=00'],
    ...['limit=1&limit=2', 'order=up', 'order=asc&order=asc', 'from=yesterday', 'to=2001-01-01', 'page=2'],
    ...['where=', 'where=[]', 'where=7', 'where=null', 'where={', 'where={"a":1e999}', 'where={"__proto__":1}'],
    ...['where={}&where={}', 'where={"a":"\\u0000"}', 'where={"a":9007199254740993}', 'cursor=', 'cursor=.'],
    ...['cursor=a&cursor=a', `from=${day(1)}&from=${day(1)}`],
    `where={"a":${'['.repeat(33)}${']'.repeat(33)}}`,
  ])('refuses ?%s with 400 and names the parameter', async (query) => {
    const { status, body } = await app.client.get(`${set.records}?${query}`);
    expect(status).toBe(400);
    expect(body.errors).toEqual([{ pointer: query.split('=', 1)[0], detail: expect.any(String) }]);
  });

  it.each(['where=%7B%22a%22%3A%22%zz%22%7D', 'where={"a":"50%"}', 'limit=1&x=%', 'where={"a":"%ff"}', 'where={}%00'])(
    'refuses ?%s every time, for every caller',
    async (query) => {
      // The edge answers cached tokens and anonymous callers, where it can.
      for (const client of [ada, app.client, await app.user(), ada, app.client])
        expect((await client.get(`${set.records}?${query}`)).status).toBe(400);
    },
  );

  it('begins and ends at times finer than a millisecond', async () => {
    const fine = await makeCollection(ada);
    const times = ['2001-01-01T00:00:00.001Z', '2001-01-01T00:00:00.002Z', '9999-12-31T23:59:59.999Z'];
    await fill(
      fine,
      times.map((occurredAt, n) => ({ data: { n }, occurredAt })),
    );
    const found = async (query: string) => {
      const { body } = must(200, await app.client.get(`${fine.records}?order=asc&${query}`));
      const { body: counted } = must(200, await ada.get(`${fine.path}/stats?${query}`));
      expect(counted.total.count).toBe(body.items.length);
      return body.items.map(({ data }: Item) => data.n);
    };
    expect(await found('from=2001-01-01T00:00:00.0010Z')).toEqual([0, 1, 2]);
    expect(await found('from=2001-01-01t00:00:00.0010001z')).toEqual([1, 2]);
    expect(await found('to=2001-01-01T00:00:00.0010001Z')).toEqual([0]);
    expect(await found('to=2001-01-01T00:00:00.0020Z')).toEqual([0]);
    expect(await found('from=2001-01-01T01:00:00.0015%2B01:00&to=9999-12-31T23:59:59.9995Z')).toEqual([1, 2]);
    expect(await found('from=9999-12-31T23:59:59.9995Z')).toEqual([]);
  });

  it('links all its pages by its Link header', async () => {
    const where = '{"text":"a?b%26c=d%20%C3%A9"}';
    for (const query of ['limit=4', `order=asc&limit=7&where=${where}`, `from=${day(3)}&limit=100`]) {
      const seen: number[] = [];
      let pages = 0;
      for (let next: string | undefined = `${set.records}?${query}`; next; pages++) {
        const { headers, body } = must(200, await app.client.get(next));
        seen.push(...body.items.map(({ data }: Item) => data.n));
        next = /^<([^>]+)>; rel="next"$/.exec(headers.get('link') ?? '')?.[1];
        expect(next !== undefined).toBe(body.nextCursor !== null);
      }
      const all = Array.from({ length: 30 }, (_, i) => (query.startsWith('order=asc') ? i + 1 : 30 - i));
      expect(seen).toEqual(query.startsWith('from') ? all.filter((n) => n >= 3) : all);
      expect(pages).toBe(query.startsWith('from') ? 1 : query.startsWith('order') ? 5 : 8);
    }
  });

  it('refuses a cursor that is changed at any character', async () => {
    const { nextCursor: cursor } = await list('limit=2');
    for (let at = 0; at < cursor.length; at++) {
      for (const put of ['', cursor[at] === 'A' ? 'B' : 'A', '%00', '%C3%A9', `${cursor[at]}x`]) {
        const changed = cursor.slice(0, at) + put + cursor.slice(at + 1);
        const { status } = await app.client.get(`${set.records}?limit=2&cursor=${changed}`);
        expect([changed, status]).toEqual([changed, 400]);
      }
    }
  });

  it('refuses a cursor of another collection, with other filters or in another order', async () => {
    const query = `limit=2&from=${day(1)}&where={"even":true}`;
    const { nextCursor } = await list(query);
    const cursor = `cursor=${nextCursor}`;
    const answer = (path: string) => app.client.get(path).then(({ status }) => status);
    expect(await answer(`${set.records}?${query}&${cursor}`)).toBe(200);
    expect(await answer(`${set.records}?${query.replace('limit=2', 'limit=5')}&${cursor}`)).toBe(200);
    expect(await answer(`${other.records}?${query}&${cursor}`)).toBe(400);
    for (const changed of [
      `from=${day(2)}&where={"even":true}`,
      `from=${day(1)}&where={"even":false}`,
      `from=${day(1)}`,
      'where={"even":true}',
      `${query}&to=${day(30)}`,
      `${query}&order=asc`,
    ]) {
      expect([changed, await answer(`${set.records}?${changed}&${cursor}`)]).toEqual([changed, 400]);
    }
    const collections = must(200, await ada.get('/api/v1/data?limit=1')).body.nextCursor;
    expect(await answer(`${set.records}?cursor=${collections}`)).toBe(400);
  });
});

it('skips and repeats no row of the start while rows are inserted between the pages', async () => {
  // Few different times, so that most rows share one.
  const times = fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 25 });
  await fc.assert(
    fc.asyncProperty(
      times,
      fc.array(times, { maxLength: 4 }),
      fc.integer({ min: 1, max: 6 }),
      fc.constantFrom('asc', 'desc'),
      async (beginning, inserts, limit, order) => {
        const set = await makeCollection(ada);
        const rows = (moments: number[]) => moments.map((n) => ({ data: { n }, occurredAt: day(n) }));
        await fill(set, rows(beginning));
        const first = (await readAll<Item>(ada, `${set.records}?limit=100`)).map(({ id }) => id);
        expect(first).toHaveLength(beginning.length);
        const later = inserts.values();
        const seen = await readAll<Item>(ada, `${set.records}?limit=${limit}&order=${order}`, async () => {
          await fill(set, rows(later.next().value ?? []));
        });
        const ids = seen.map(({ id }) => id);
        expect(new Set(ids).size).toBe(ids.length);
        expect(first.filter((id) => !ids.includes(id))).toEqual([]);
        const keys = seen.map(({ occurredAt, id }) => `${occurredAt} ${id}`);
        expect(keys).toEqual(order === 'asc' ? keys.toSorted() : keys.toSorted().reverse());
      },
    ),
    { numRuns: 40 },
  );
});
