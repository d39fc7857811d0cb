import { startApp, type TestApp } from '../support/app.js';
import type { Client } from '../support/client.js';
import { type MadeCollection, makeCollection, must } from '../support/collections.js';
import { expectProblem } from '../support/problem.js';
import { lines, NDJSON } from '../support/uploads.js';

let app: TestApp;
let ada: Client;
let set: MadeCollection;
beforeAll(async () => {
  app = await startApp();
  ada = await app.user('ada');
});
beforeEach(async () => {
  set = await makeCollection(ada);
});
afterAll(() => app?.close());

const stats = async (query: Record<string, string> = {}) =>
  must(200, await ada.get(`${set.path}/stats?${new URLSearchParams(query)}`)).body;
const put = async (records: { data: unknown; occurredAt?: string }[]) =>
  must(200, await ada.post(`${set.records}/bulk`, records));
const at = (...moments: string[]) => put(moments.map((occurredAt, n) => ({ data: { n }, occurredAt })));

describe('the statistics of a collection', () => {
  it('are empty when the collection is', async () => {
    expect(await stats()).toEqual({
      total: { count: 0, isEstimate: false },
      progress: 1,
      bucket: 'day',
      buckets: [],
      by: null,
      values: null,
      areValuesExact: null,
    });
    expect(await stats({ by: 'n' })).toMatchObject({ values: [], areValuesExact: true });
  });

  it.each([
    ['minute', ['2004-03-01T00:00:00.000Z', '2004-02-29T23:59:00.000Z', '2001-01-01T00:00:00.000Z']],
    ['hour', ['2004-03-01T00:00:00.000Z', '2004-02-29T23:00:00.000Z', '2001-01-01T00:00:00.000Z']],
    ['day', ['2004-03-01T00:00:00.000Z', '2004-02-29T00:00:00.000Z', '2001-01-01T00:00:00.000Z']],
    ['month', ['2004-03-01T00:00:00.000Z', '2004-02-01T00:00:00.000Z', '2001-01-01T00:00:00.000Z']],
  ])('count by %s in UTC, newest first', async (bucket, starts) => {
    // The last one has another date in its own time zone.
    await at('2004-02-29T23:59:59.999Z', '2004-02-29T23:59:00Z', '2004-03-01T00:00:00Z', '2000-12-31T22:00:00-02:00');
    const { total, buckets, ...rest } = await stats({ bucket });
    expect([total.count, rest.bucket]).toEqual([4, bucket]);
    expect(buckets).toEqual(starts.map((from, index) => ({ from, count: index === 1 ? 2 : 1 })));
  });

  it('include the first and the last times', async () => {
    await at('0001-01-01T00:00:00Z', '0099-12-31T23:59:59Z', '9999-12-31T23:59:59.999Z');
    expect((await stats({ bucket: 'month' })).buckets.map(({ from }: { from: string }) => from)).toEqual([
      '9999-12-01T00:00:00.000Z',
      '0099-12-01T00:00:00.000Z',
      '0001-01-01T00:00:00.000Z',
    ]);
  });

  it('show the newest 1,000 buckets', async () => {
    await at(...Array.from({ length: 1001 }, (_, minute) => new Date(minute * 60_000).toISOString()));
    const { buckets, total } = await stats({ bucket: 'minute' });
    expect([buckets.length, buckets[999].from, total.count]).toEqual([1000, '1970-01-01T00:01:00.000Z', 1001]);
  });

  it('cover only records that from, to and where select', async () => {
    const days = [1, 2, 3, 4].map((day) => ({
      data: { day, even: day % 2 === 0, s: "it's" },
      occurredAt: `2001-01-0${day}T12:00:00Z`,
    }));
    await put(days);
    const narrow = { from: '2001-01-02T12:00:00Z', to: '2001-01-04T12:00:00Z' };
    const of = async (query: Record<string, string>) => {
      const { total, buckets, values } = await stats({ by: 'day', ...query });
      const counted = buckets.reduce((sum: number, { count }: { count: number }) => sum + count, 0);
      expect(counted).toBe(total.count);
      return values.map(({ value }: { value: number }) => value);
    };
    expect(await of({})).toEqual([1, 2, 3, 4]);
    expect(await of(narrow)).toEqual([2, 3]);
    expect(await of({ ...narrow, where: '{"even":true}' })).toEqual([2]);
    expect(await of({ where: '{"s":"it\'s","even":false}' })).toEqual([1, 3]);
    expect(await of({ where: '{"s":"its"}' })).toEqual([]);
  });

  it('count the values of a field, of any type, most frequent first, and leave out records without the field', async () => {
    const values = [
      'a',
      'a',
      'a',
      1,
      1.0,
      '1',
      true,
      true,
      true,
      true,
      null,
      null,
      false,
      { x: [1] },
      { x: [1] },
      [],
      -0.5,
    ];
    await put([...values.map((v) => ({ data: { v } })), { data: {} }, { data: { V: 'a', w: { v: 'a' } } }]);
    const found = await stats({ by: 'v' });
    expect([found.by, found.total.count]).toEqual(['v', 19]);
    expect(found.values.slice(0, 2)).toEqual([
      { value: true, count: 4 },
      { value: 'a', count: 3 },
    ]);
    expect(found.values).toHaveLength(9);
    for (const [value, count] of [
      [1, 2],
      ['1', 1],
      [null, 2],
      [false, 1],
      [{ x: [1] }, 2],
      [[], 1],
      [-0.5, 1],
    ]) {
      expect(found.values).toContainEqual({ value, count });
    }
  });

  it('show the 20 most frequent values', async () => {
    await put(Array.from({ length: 25 }, (_, v) => Array.from({ length: v + 1 }, () => ({ data: { v } }))).flat());
    const { values } = await stats({ by: 'v' });
    expect(values).toEqual(Array.from({ length: 20 }, (_, index) => ({ value: 24 - index, count: 25 - index })));
  });

  it.each(["it's", '"', '\\', 'é 🦀', '$1', 'a.b', "'; DROP TABLE records; --", 'constructor', '0', ' ', ''])(
    'count by a field called %j',
    async (by) => {
      await put([{ data: { [by]: by } }, { data: { [by]: by } }, { data: { other: 1 } }]);
      const found = await stats({ by });
      expect([found.by, found.values]).toEqual([by, [{ value: by, count: 2 }]]);
    },
  );

  it('refuse unknown and invalid parameters', async () => {
    const queries = [
      'bucket=week',
      'bucket=',
      'bucket=Day',
      `by=${'x'.repeat(257)}`,
      'by=%00',
      'where=[]',
      'to=x',
      'limit=1',
    ];
    for (const query of queries) expectProblem(await ada.get(`${set.path}/stats?${query}`), 'invalid-request');
  });

  it('of a private collection are for its owner and admins, and answer 404 to anyone else', async () => {
    const secret = await makeCollection(ada, 'private');
    for (const client of [ada, app.admin]) {
      expect(must(200, await client.get(`${secret.path}/stats`)).headers.get('cache-control')).toBe(
        'private, no-cache',
      );
    }
    for (const client of [app.client, await app.user()])
      expectProblem(await client.get(`${secret.path}/stats`), 'not-found');
    expectProblem(await ada.get('/api/v1/data/nothing/stats'), 'not-found');
    const open = must(200, await app.client.get(`${set.path}/stats`));
    expect(open.headers.get('cache-control')).toBe('no-cache');
  });
});

describe('the total', () => {
  it('counts exactly the records in the buckets, however many there are in this and other collections', async () => {
    const other = await makeCollection(ada);
    must(200, await ada.post(`${other.records}/bulk`, lines(1, 20_000), NDJSON));
    await app.database.query('ANALYZE records');
    must(200, await ada.post(`${set.records}/bulk`, lines(1, 12_000), NDJSON));
    const { total, buckets } = await stats({ by: 'n' });
    expect(total).toEqual({ count: 12_000, isEstimate: false });
    expect(buckets.reduce((sum: number, { count }: { count: number }) => sum + count, 0)).toBe(12_000);
    expect((await stats({ where: '{"n":11999}' })).total).toEqual({ count: 1, isEstimate: false });
  });
});
