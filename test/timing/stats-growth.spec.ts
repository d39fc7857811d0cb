import { startApp, type TestApp } from '../support/app.js';
import type { Client } from '../support/client.js';
import { type MadeCollection, makeCollection, makeRecord, until } from '../support/collections.js';
import { askStats, type Stats } from '../support/counted.js';

/** Three months of one record every eight seconds, beside which lies as much of another collection. */
const RECORDS = 1_000_000;
const FILL = `
  INSERT INTO records (collection_id, data, occurred_at)
  SELECT c.id, jsonb_build_object('delay', n % 300), '2001-01-01T00:00:00Z'::timestamptz + n * interval '8 seconds'
  FROM generate_series(0, $1::int - 1) AS n, collections c WHERE c.name = $2`;

let app: TestApp;
let ada: Client;
let set: MadeCollection;
beforeAll(async () => {
  app = await startApp({ CACHE_TTL_MS: '0' });
  ada = await app.user('ada');
  set = await makeCollection(ada);
  for (const { name } of [set, await makeCollection(ada)]) await app.database.query(FILL, [RECORDS, name]);
  await app.database.query('VACUUM ANALYZE records');
}, 300_000);
afterAll(() => app?.close());

async function timed(query: Record<string, string>, client = app.client): Promise<[Stats, number]> {
  const begun = performance.now();
  const stats = await askStats(client, set.path, query);
  return [stats, performance.now() - begun];
}
const TOTAL = { count: RECORDS, isEstimate: false };

it.each(['hour', 'day', 'month'])(
  'counts a million records by the %s within a second, the first time too',
  async (bucket) => {
    const [{ total, buckets, progress }, ms] = await timed({ bucket });
    expect([total, progress, ms < 1000]).toEqual([TOTAL, 1, true]);
    expect(buckets.length).toBe({ hour: 1000, day: 93, month: 4 }[bucket]);
  },
);

it('answers within 3 s for a field too, says how far it is, and soon has all, of which little is counted again', async () => {
  const query = { bucket: 'day', by: 'delay' };
  const [first, ms] = await timed(query);
  expect([first.total, first.buckets.length, ms < 3000]).toEqual([TOTAL, 93, true]);
  await until(async () => (await timed(query))[0].progress === 1, 30);
  const [all, againMs] = await timed(query);
  expect([all.total, all.areValuesExact, againMs < 1000]).toEqual([TOTAL, true, true]);
  expect(all.values?.[0]).toEqual({ value: 0, count: Math.ceil(RECORDS / 300) });
  await makeRecord(ada, set, { delay: 0 }, '2001-02-01T12:00:00Z');
  const [changed, changedMs] = await timed(query, ada);
  expect([changed.total.count, changed.progress, changedMs < 1000]).toEqual([RECORDS + 1, 1, true]);
  expect(changed.values?.[0]).toEqual({ value: 0, count: Math.ceil(RECORDS / 300) + 1 });
});

it.each(['{"delay":7}', '{"delay":-1}', '{}'])(
  'has all that match %s in the end, and answers within 3 s until then',
  async (where) => {
    let asked = 0;
    await until(async () => {
      const [{ progress }, ms] = await timed({ where });
      expect(ms).toBeLessThan(3000);
      asked++;
      return progress === 1;
    }, 60);
    const [{ total, buckets }] = await timed({ where });
    const expected = { '{"delay":7}': Math.ceil((RECORDS - 7) / 300), '{"delay":-1}': 0 }[where] ?? RECORDS + 1;
    expect([total, asked > 0]).toEqual([{ count: expected, isEstimate: false }, true]);
    expect(buckets.reduce((sum, { count }) => sum + count, 0)).toBe(expected);
  },
);
