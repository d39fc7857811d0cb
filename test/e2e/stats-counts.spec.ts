import { setTimeout as sleep } from 'node:timers/promises';
import { StatsService } from '../../src/data/stats.service.js';
import { startApp, type TestApp } from '../support/app.js';
import type { Client } from '../support/client.js';
import { etagOf, type MadeCollection, makeCollection, makeRecord, must, until } from '../support/collections.js';
import { askStats, countByHand, type Query, recordsOf, type Stats, wrongHours } from '../support/counted.js';
import { lines, NDJSON } from '../support/uploads.js';

let app: TestApp;
let ada: Client;
beforeAll(async () => {
  app = await startApp({ CACHE_TTL_MS: '0' });
  ada = await app.user('ada');
});
afterAll(() => app?.close());

const random = (below: number) => Math.floor(Math.random() * below);
/** Within some hours, of two days and two months. */
const moment = () => new Date(Date.UTC(2001, 0, 31, 21) + random(6 * 3_600_000)).toISOString();
const data = () => ({ kind: `k${random(5)}`, n: random(30) });

const QUERIES: Query[] = [
  { bucket: 'month' },
  { bucket: 'day' },
  { bucket: 'hour', by: 'kind' },
  { bucket: 'minute', by: 'n' },
  { bucket: 'hour', from: '2001-01-31T22:17:03.456Z' },
  { bucket: 'day', to: '2001-02-01T01:59:59.999Z', by: 'n' },
  { bucket: 'hour', from: '2001-01-31T22:00:00Z', to: '2001-02-01T01:00:00Z' },
  { bucket: 'hour', from: '2001-02-01T00:10:00Z', to: '2001-02-01T00:50:00Z' },
  { bucket: 'month', from: '2001-02-01T00:10:00Z', to: '2001-02-01T01:00:00Z', by: 'kind' },
  { bucket: 'day', from: '2001-02-01T00:50:00Z', to: '2001-02-01T00:10:00Z' },
  { bucket: 'day', where: '{"kind":"k1"}', by: 'n' },
];

/** On a busy machine, even a few records may be counted on after the answer. */
async function counted({ path }: { path: string }, query: Query): Promise<Stats> {
  let stats: Stats | undefined;
  await until(async () => {
    stats = await askStats(ada, path, query);
    return stats.progress === 1;
  }, 40);
  return stats as Stats;
}

const expectRight = async (set: MadeCollection, queries = QUERIES) => {
  const rows = await recordsOf(app.database, set.name);
  for (const query of queries) {
    const expected = { ...countByHand(rows, query), progress: 1 };
    expect([query, await counted(set, query)]).toEqual([query, expect.objectContaining(expected)]);
  }
};

/** What one caller does to a collection for a while, each thing in another order. */
async function change(set: MadeCollection, times: number): Promise<void> {
  const own: { path: string; etag: string }[] = [];
  for (let n = 0; n < times; n++) {
    const one = own[random(own.length)];
    const kind = one ? random(6) : 0;
    if (kind <= 1) own.push(await makeRecord(ada, set, data(), moment()));
    else if (kind === 2)
      must(200, await ada.post(`${set.records}/bulk`, [{ data: data(), occurredAt: moment() }, { data: data() }]));
    else if (kind === 5) {
      must(204, await ada.delete(one!.path, { 'if-match': one!.etag }));
      own.splice(own.indexOf(one!), 1);
    } else {
      const body = kind === 3 ? { data: { n: random(30) } } : { occurredAt: moment() };
      one!.etag = etagOf(must(200, await ada.patch(one!.path, body, { 'if-match': one!.etag })));
    }
  }
}

describe('the counts of a collection', () => {
  it('are those of its records at every moment, while many create, upload, change and delete', async () => {
    const [set, other] = [await makeCollection(ada), await makeCollection(ada)];
    let isOver = false;
    const watch = (async () => {
      let looks = 0;
      for (; !isOver; looks++) {
        expect(await wrongHours(app.database)).toEqual([]);
        const query = QUERIES[looks % QUERIES.length] as Query;
        const { total, buckets } = await askStats(app.client, set.path, query);
        expect(buckets.reduce((sum, { count }) => sum + count, 0)).toBe(total.count);
      }
      return looks;
    })();
    await Promise.all([set, set, set, set, other, other].map((one) => change(one, 60))).finally(() => {
      isOver = true;
    });
    expect(await watch).toBeGreaterThan(0);
    expect(await wrongHours(app.database)).toEqual([]);
    await expectRight(set);
    await expectRight(other, QUERIES.slice(0, 3));
  });

  it('are kept of what stores nothing, of bad and atomic uploads, and of whoever else writes to the table', async () => {
    const set = await makeCollection(ada);
    must(422, await ada.post(`${set.records}/bulk?atomic=true`, `${lines(1, 6000)}{"data":1}\n`, NDJSON));
    must(200, await ada.post(`${set.records}/bulk?atomic=true`, lines(1, 6000), NDJSON));
    must(200, await ada.post(`${set.records}/bulk`, `{"data":1}\n${lines(1, 3)}`, NDJSON));
    expect((await counted(set, {})).total.count).toBe(6003);
    const own = `collection_id = (SELECT id FROM collections WHERE name = '${set.name}')`;
    await app.database.query(
      `UPDATE records SET occurred_at = occurred_at - interval '40 days' WHERE ${own} AND (data->>'n')::int % 3 = 0`,
    );
    await app.database.query(`DELETE FROM records WHERE ${own} AND (data->>'n')::int % 7 = 0`);
    await app.database.query(`UPDATE records SET version = version WHERE false`);
    expect(await wrongHours(app.database)).toEqual([]);
    await expectRight(set, [{ bucket: 'month', by: 'n' }, { bucket: 'hour' }]);
    await app.database.query('TRUNCATE records');
    await expectRight(set, [{ bucket: 'month' }]);
  });

  it('are added up, and answer the same before and after', async () => {
    const set = await makeCollection(ada);
    await Promise.all([1, 2, 3].map(() => change(set, 20)));
    const before = await counted(set, { bucket: 'hour' });
    await until(async () => (await app.database.query('SELECT FROM record_changes')).length === 0, 40);
    expect(await counted(set, { bucket: 'hour' })).toEqual(before);
    expect(await wrongHours(app.database)).toEqual([]);
  });

  it('go with the collection, whose name begins anew', async () => {
    const set = await makeCollection(ada);
    must(200, await ada.post(`${set.records}/bulk`, lines(1, 7000), NDJSON));
    const [{ id }] = (await app.database.query<{ id: string }>('SELECT id FROM collections WHERE name = $1', [
      set.name,
    ])) as [{ id: string }];
    must(204, await ada.delete(set.path, { 'if-match': set.etag }));
    const again = await makeCollection(ada, 'public', set.name);
    await makeRecord(ada, again);
    expect((await counted(again, {})).total.count).toBe(1);
    const left = `SELECT FROM record_counts WHERE collection_id = $1 UNION ALL SELECT FROM record_changes WHERE collection_id = $1
      UNION ALL SELECT FROM records WHERE collection_id = $1`;
    await until(async () => (await app.database.query(left, [id])).length === 0, 40);
    await expectRight(again, QUERIES.slice(0, 3));
  });
});

describe('a collection that is too large for one statement', () => {
  /** In slices of a month, of a day, of an hour and of a part of it. */
  const RECORDS = `
    INSERT INTO records (collection_id, data, occurred_at)
    SELECT c.id, jsonb_build_object('kind', 'k' || n % 7, 'n', n % 400, 'id', n), CASE
      WHEN n < 110000 THEN '2001-03-05T07:00:00Z'::timestamptz + n * interval '30 ms'
      WHEN n < 112000 THEN '2001-03-05T00:00:00Z'::timestamptz + n % 1440 * interval '1 minute'
      WHEN n < 114000 THEN '2001-03-09T00:00:00Z'::timestamptz + n % 1440 * interval '1 minute'
      ELSE '2001-05-01T00:00:00Z'::timestamptz + n % 86400 * interval '10 seconds' END
    FROM generate_series(0, 114999) AS n, collections c WHERE c.name = $1`;
  let set: MadeCollection;
  beforeAll(async () => {
    // No statement is so fast, so that each is counted in slices.
    Object.assign(app.nest.get(StatsService), { attemptMs: 1 });
    set = await makeCollection(ada);
    await app.database.query(RECORDS, [set.name]);
  });

  const SLICED: Query[] = [
    { bucket: 'month', by: 'kind' },
    { bucket: 'minute', by: 'n' },
    { bucket: 'day', by: 'n', where: '{"kind":"k3"}' },
    { bucket: 'hour', by: 'n', from: '2001-03-05T07:12:34.567Z', to: '2001-05-02T00:00:00Z' },
    { bucket: 'day', by: 'none' },
  ];
  const finished = (query: Query) => counted(set, query);

  it('is counted right in the end, and says until then how far it is', async () => {
    for (const query of SLICED) {
      for (let progress = 0; progress < 1; ) {
        const stats = await askStats(ada, set.path, query);
        expect(stats.progress).toBeGreaterThanOrEqual(progress);
        const sum = stats.buckets.reduce((total, { count }) => total + count, 0);
        if (query.bucket !== 'minute') expect(sum).toBe(stats.total.count);
        if (stats.progress < 1) expect(stats.areValuesExact).toBe(false);
        if (!query.where && !query.from && query.bucket !== 'minute')
          expect(stats.total).toEqual({ count: 115_000, isEstimate: false });
        ({ progress } = stats);
      }
    }
    await expectRight(set, SLICED);
  });

  it('is counted again where it has changed, and right after each change', async () => {
    for (const query of SLICED) await finished(query);
    const made = await makeRecord(ada, set, { kind: 'new', n: 401 }, '2001-03-05T07:30:00Z');
    await expectFinished();
    const moved = await ada.patch(
      made.path,
      { occurredAt: '2001-05-01T00:00:00Z', data: { n: 3 } },
      { 'if-match': made.etag },
    );
    await expectFinished();
    must(204, await ada.delete(made.path, { 'if-match': etagOf(moved) }));
    await expectFinished();
  });
  const expectFinished = async () => {
    const rows = await recordsOf(app.database, set.name);
    for (const query of SLICED) {
      const expected = countByHand(rows, query);
      expect([query, await finished(query)]).toEqual([query, expect.objectContaining(expected)]);
    }
  };

  it('says so when it has more values than are kept', async () => {
    const stats = await finished({ by: 'id' });
    expect(stats).toMatchObject({ total: { count: 115_000, isEstimate: false }, areValuesExact: false });
    expect(stats.values).toHaveLength(20);
    expect(await finished({ by: 'kind' })).toMatchObject({ areValuesExact: true });
  });

  it('never fails for its size, though no slice can be counted in time', async () => {
    await app.database.query(`ALTER TABLE records RENAME TO awake; CREATE VIEW records AS SELECT awake.*
      FROM awake, LATERAL (SELECT pg_sleep(CASE WHEN awake.id IS NULL THEN 0 ELSE 60 END)) OFFSET 0`);
    try {
      const began = performance.now();
      const stats = await askStats(ada, set.path, { bucket: 'month', by: 'never' });
      expect(stats).toMatchObject({ total: { count: 115_000, isEstimate: false }, values: [], areValuesExact: false });
      expect([stats.progress, stats.buckets.length]).toEqual([0, 2]);
      expect(performance.now() - began).toBeLessThan(30_000);
    } finally {
      await app.database.query('DROP VIEW records; ALTER TABLE awake RENAME TO records');
      await sleep(100);
    }
  });
});
