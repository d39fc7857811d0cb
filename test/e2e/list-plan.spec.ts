import { DataSource } from 'typeorm';
import { DataRecord } from '../../src/data/record.entity.js';
import { recordSchema } from '../../src/data/record.schema.js';
import { atLeast, below, contains } from '../../src/platform/resource/filters.js';
import { Lists } from '../../src/platform/resource/list.js';
import { Table } from '../../src/platform/resource/table.js';
import { startApp, type TestApp } from '../support/app.js';

const COLLECTIONS = 4;
const ROWS = 20_000;

interface Plan {
  'Shared Hit Blocks'?: number;
  'Shared Read Blocks'?: number;
  'Node Type': string;
  'Relation Name'?: string;
  'Index Name'?: string;
  'Index Cond'?: string;
  Plans?: Plan[];
}

interface ListFilter {
  order: 'asc' | 'desc';
  limit: number;
  after: string[];
  from: string;
  to: string;
  where: string;
}

let app: TestApp;
let lists: Lists<DataRecord>;
let ids: string[];
beforeAll(async () => {
  app = await startApp();
  const dataSource = new DataSource({ type: 'postgres', url: app.database.url, entities: [DataRecord] });
  await dataSource.initialize();
  const table = new Table(dataSource.getMetadata(DataRecord), recordSchema);
  const filters = { from: atLeast('occurredAt'), to: below('occurredAt'), where: contains('data') };
  lists = new Lists(table, filters, 65_536);
  await dataSource.destroy();
  const rows = await app.database.query<{ id: string }>(
    `INSERT INTO collections (name, visibility, owner_id)
     SELECT 'plan-' || n, 'public', (SELECT id FROM users LIMIT 1) FROM generate_series(1, $1) n RETURNING id`,
    [COLLECTIONS],
  );
  ids = rows.map(({ id }) => id);
  await app.database.query(
    `INSERT INTO records (collection_id, data, occurred_at)
     SELECT ($1::uuid[])[1 + n % $2], jsonb_build_object('n', n, 'kind', n % 3),
       '2001-01-01T00:00:00Z'::timestamptz + n * interval '1 minute'
     FROM generate_series(1, $3) n`,
    [ids, COLLECTIONS, ROWS],
  );
  // VACUUM as well: until then new rows are only in the GIN index's pending list.
  await app.database.query('VACUUM ANALYZE records');
});
afterAll(() => app?.close());

const AFTER = ['2001-01-05T00:00:00.000Z', '01890000-0000-7000-8000-000000000000'];
const READ = ['Limit', 'Index Scan', 'records_newest'];
const RANGE = { from: '2001-01-02T00:00:00.000Z', to: '2001-01-09T00:00:00.000Z' };

const flat = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(flat)];

async function explain(options: string, filter: Partial<ListFilter>): Promise<Plan> {
  const { order = 'desc', limit = 20, after, ...filters } = filter;
  const where = { collectionId: ids[0] as string };
  const { statement, values } = lists.statement({ where, filters, sort: 'occurredAt', order, limit, after });
  const [row] = await app.database.query<{ 'QUERY PLAN': [{ Plan: Plan }] }>(
    `EXPLAIN (FORMAT JSON, ${options}) ${statement.text}`,
    options === 'GENERIC_PLAN' ? undefined : values,
  );
  return row!['QUERY PLAN'][0].Plan;
}

/** The nodes of the custom plan for these values, or of the generic plan, to which a prepared statement may switch. */
const nodesOf = async (filter: Partial<ListFilter>, generic = false) =>
  flat(await explain(generic ? 'GENERIC_PLAN' : 'COSTS', filter));

async function blocksRead(filter: Partial<ListFilter>): Promise<number> {
  const plan = await explain('ANALYZE, BUFFERS', filter);
  return (plan['Shared Hit Blocks'] ?? 0) + (plan['Shared Read Blocks'] ?? 0);
}

describe.each(['desc', 'asc'] as const)('the keyset list in order %s', (order) => {
  it.each<[string, Partial<ListFilter>]>([
    ['on its first page', {}],
    ['after a cursor', { after: AFTER }],
    ['of a time range', RANGE],
    ['of a time range after a cursor', { ...RANGE, after: AFTER }],
    ['with 100 items', { limit: 100, after: AFTER }],
  ])('reads the index records_newest and sorts nothing, %s', async (_, filter) => {
    for (const generic of [false, true]) {
      const nodes = await nodesOf({ order, ...filter }, generic);
      // The table is read once; the other scans only join the rows of the page.
      const at = nodes.findIndex((node) => node['Relation Name'] !== undefined);
      const [limit, scan] = nodes.slice(at - 1);
      expect([limit?.['Node Type'], scan?.['Node Type'], scan?.['Index Name']]).toEqual(READ);
      expect(nodes.filter((node) => node['Relation Name'])).toHaveLength(1);
      expect(nodes.map((node) => node['Node Type']).filter((type) => /Sort/.test(type))).toEqual([]);
      if (filter.after) expect(scan?.['Index Cond']).toMatch(/ROW\(occurred_at, id\)/);
    }
  });

  it('reads as little for a late page of a time range as for the first', async () => {
    const range = { from: '2001-01-01T00:00:00.000Z', to: '2001-02-01T00:00:00.000Z' };
    const late = order === 'asc' ? '2001-01-14T12:00:00.000Z' : '2001-01-01T12:00:00.000Z';
    const first = await blocksRead({ order, ...range });
    expect(first).toBeGreaterThan(0);
    expect(await blocksRead({ order, ...range, after: [late, AFTER[1] as string] })).toBeLessThan(first + 10);
  });

  it('finds rare matches of where by the index records_data', async () => {
    for (const after of [undefined, AFTER]) {
      const nodes = await nodesOf({ order, where: '{"n":4000}', after });
      expect(nodes.map((node) => node['Index Name'])).toContain('records_data');
      expect(nodes.map((node) => node['Node Type'])).not.toContain('Seq Scan');
    }
  });

  it('finds common matches of where in the index records_newest, until the page is full', async () => {
    const nodes = await nodesOf({ order, where: '{"kind":1}' });
    expect(nodes.map((node) => node['Node Type'])).not.toContain('Sort');
    expect(nodes.map((node) => node['Index Name'])).toContain('records_newest');
  });
});
