import { DataSource } from 'typeorm';
import { createApp } from '../../src/app.js';
import { loadConfig } from '../../src/config.js';
import { DataRecord } from '../../src/data/record.entity.js';
import { recordSchema } from '../../src/data/record.schema.js';
import { statementsOf } from '../../src/platform/resource/statements.js';
import { Table } from '../../src/platform/resource/table.js';
import { StartError } from '../../src/platform/start-error.js';
import { etagOf, must, until } from '../support/answers.js';
import { startApp, type TestApp, testEnvironment } from '../support/app.js';
import { type MadeCollection, makeCollection } from '../support/collections.js';
import { wrongHours } from '../support/counted.js';
import { Ledger } from '../support/ledger.js';
import { partition } from '../support/partitioned.js';
import { expectProblem } from '../support/problem.js';

const ROWS = 30_000;

let app: TestApp;
beforeEach(async () => {
  app = await startApp({ DATABASE_LOCK_TIMEOUT_MS: '2000' });
});
afterEach(() => app?.close());

const fill = (rows: number) =>
  app.database.query(
    `INSERT INTO records (collection_id, data, occurred_at)
     SELECT c.id, jsonb_build_object('n', n), now() - n * interval '1 minute'
     FROM generate_series(1, $1::int) n, collections c`,
    [rows],
  );
const idOf = async ({ name }: MadeCollection) =>
  (await app.database.query<{ id: string }>('SELECT id FROM collections WHERE name = $1', [name]))[0]!.id;
const countOf = async (collectionId: string) =>
  (
    await app.database.query<{ count: number }>('SELECT count(*)::int FROM records WHERE collection_id = $1', [
      collectionId,
    ])
  )[0]!.count;

interface Plan {
  'Relation Name'?: string;
  Plans?: Plan[];
}
const relations = (plan: Plan): string[] => [
  ...(plan['Relation Name'] ? [plan['Relation Name']] : []),
  ...(plan.Plans ?? []).flatMap(relations),
];

it('are made of a table in use: no request fails, nothing is lost, and each statement reads one of them', async () => {
  const owner = await app.user();
  const sets = [await makeCollection(owner), await makeCollection(owner)];
  await fill(ROWS);
  const ledger = await Ledger.open([await app.user(), await app.user(), await app.user()]);
  expect(await partition(app.database)).toBe(0);
  const before = ledger.acknowledged;
  await until(async () => ledger.acknowledged > before + 20);
  expect(await ledger.settle(app.database)).toEqual([]);
  expect(ledger.outcomes.filter(({ status }) => status === 0 || (status >= 400 && status !== 404))).toEqual([]);
  expect(await wrongHours(app.database)).toEqual([]);
  const id = await idOf(sets[0]!);
  expect([await countOf(id), await countOf(await idOf(sets[1]!))]).toEqual([ROWS, ROWS]);
  const kinds = `SELECT relkind AS kind, (SELECT count(*)::int FROM pg_inherits WHERE inhparent = c.oid) AS parts,
      (SELECT array_agg(indexrelid::regclass::text ORDER BY indexrelid::regclass::text) FROM pg_index WHERE indrelid = c.oid) AS indexes,
      (SELECT array_agg(tgname::text ORDER BY tgname) FROM pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal) AS triggers
    FROM pg_class c WHERE oid = 'records'::regclass`;
  expect(await app.database.query(kinds)).toEqual([
    {
      kind: 'p',
      parts: 16,
      indexes: ['records_data', 'records_newest', 'records_pkey'],
      triggers: [
        ...['feed_added', 'feed_removed', 'feed_truncated', 'feed_updated'],
        ...['records_added', 'records_changed', 'records_removed', 'records_truncated'],
      ],
    },
  ]);

  const dataSource = new DataSource({ type: 'postgres', url: app.database.url, entities: [DataRecord] });
  await dataSource.initialize();
  const table = new Table(dataSource.getMetadata(DataRecord), recordSchema);
  await dataSource.destroy();
  const parent = { property: 'collectionId', table: 'collections', gone: () => new Error() };
  const { getManyWithin, lock, update, remove } = statementsOf(table, [], parent as never);
  const asked: [string, unknown[]][] = [
    [getManyWithin!.text, [[id], id]],
    [lock, [id, id]],
    [update([table.column('data')]), [id, id, '{}']],
    [remove, [id, id]],
  ];
  for (const [text, values] of asked) {
    const [row] = await app.database.query<{ 'QUERY PLAN': [{ Plan: Plan }] }>(`EXPLAIN (FORMAT JSON) ${text}`, values);
    const read = new Set(relations(row!['QUERY PLAN'][0].Plan).filter((name) => name.startsWith('records_')));
    expect([text, read.size]).toEqual([text, 1]);
  }
});

it('lose only the records of a collection that is deleted, though others lie at the same places', async () => {
  const owner = await app.user();
  const sets = await Promise.all(Array.from({ length: 8 }, () => makeCollection(owner)));
  await fill(3000);
  await partition(app.database);
  const ids = await Promise.all(sets.map(idOf));
  const [set, id] = [sets[0]!, ids[0]!];
  must(204, await owner.delete(set.path, { 'if-match': etagOf(must(200, await owner.get(set.path))) }));
  await until(async () => (await countOf(id)) === 0);
  expect(await Promise.all(ids.slice(1).map(countOf))).toEqual(Array(7).fill(3000));
});

it('say which of them is missing: what belongs there is refused and kept nowhere else, and the rest goes on', async () => {
  const owner = await app.user();
  const sets = await Promise.all(Array.from({ length: 20 }, () => makeCollection(owner)));
  await partition(app.database);
  await fill(3);
  const [part] = (await app.database.query(
    `SELECT records.tableoid::regclass::text AS name, pg_get_expr(relpartbound, c.oid) AS bound, array_agg(DISTINCT collection_id) AS ids
     FROM records JOIN pg_class c ON c.oid = records.tableoid GROUP BY 1, 2 LIMIT 1`,
  )) as [{ name: string; bound: string; ids: string[] }];
  await app.database.query(`ALTER TABLE records DETACH PARTITION ${part.name}`);
  const ids = await Promise.all(sets.map(idOf));
  // All at once, and so in one statement at first.
  const answers = await Promise.all(
    sets.map(({ records }, at) => owner.post(records, { data: { at } }, { 'idempotency-key': `key-${at}` })),
  );
  for (const [at, answer] of answers.entries()) {
    if (part.ids.includes(ids[at]!)) expectProblem(answer, 'temporary-reduced-capacity');
    else must(201, answer);
  }
  const at = ids.indexOf(part.ids[0]!);
  const { records } = sets[at]!;
  const lines = '{"data":{}}\n{"data":{}}\n';
  const bulk = await owner.post(`${records}/bulk`, lines, { 'content-type': 'application/x-ndjson' });
  expectProblem(bulk, 'temporary-reduced-capacity');
  expect(bulk.body.inserted).toBe(0);
  const started = createApp(loadConfig(testEnvironment(app.database.url)));
  await expect(started).rejects.toThrow(StartError);
  const named = part.bound
    .replace('modulus', 'MODULUS')
    .replace('remainder', 'REMAINDER')
    .replace('FOR VALUES WITH ', '');
  await expect(started).rejects.toThrow(`lacks partitions: attach (or create) those of records ${named}`);

  await app.database.query(`ALTER TABLE records ATTACH PARTITION ${part.name} ${part.bound}`);
  const again = await owner.post(records, { data: { at } }, { 'idempotency-key': `key-${at}` });
  expect(must(201, again).headers.get('idempotency-replayed')).toBeNull();
  expect(await countOf(ids[at]!)).toBe(4);
});
