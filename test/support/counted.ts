import { must } from './answers.js';
import type { Client } from './client.js';
import type { TestDatabase } from './database.js';

export interface Stats {
  total: { count: number; isEstimate: boolean };
  progress: number;
  buckets: { from: string; count: number }[];
  values: { value: unknown; count: number }[] | null;
  areValuesExact: boolean | null;
}
export type Query = Partial<Record<'bucket' | 'by' | 'from' | 'to' | 'where', string>>;

export const askStats = async (client: Client, path: string, query: Query): Promise<Stats> =>
  must(200, await client.get(`${path}/stats?${new URLSearchParams(query)}`)).body;

/** The records by themselves, for a count that has nothing of the app's. */
interface Row {
  at: Date;
  data: Record<string, unknown>;
}
const LENGTHS = { minute: 16, hour: 13, day: 10, month: 7 };
const REST = '2000-01-01T00:00:00.000Z';

export const recordsOf = (database: TestDatabase, name: string) =>
  database.query<Row>(
    `SELECT occurred_at AS at, data FROM records r JOIN collections c ON c.id = r.collection_id WHERE c.name = $1`,
    [name],
  );

/** What the statistics of these records must be, counted one after the other. Values are numbers and texts. */
export function countByHand(rows: Row[], query: Query) {
  const where = Object.entries(JSON.parse(query.where ?? '{}'));
  const asked = rows.filter(
    ({ at, data }) =>
      (query.from === undefined || at >= new Date(query.from)) &&
      (query.to === undefined || at < new Date(query.to)) &&
      where.every(([field, value]) => data[field] === value),
  );
  const length = LENGTHS[(query.bucket ?? 'day') as keyof typeof LENGTHS];
  const tally = (keys: string[]) => {
    const counts = new Map<string, number>();
    for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
    return [...counts];
  };
  const begins = asked.map(({ at }) => at.toISOString().slice(0, length) + REST.slice(length));
  const buckets = tally(begins)
    .sort(([a], [b]) => (a < b ? 1 : -1))
    .slice(0, 1000)
    .map(([from, count]) => ({ from, count }));
  const { by } = query;
  const values =
    by === undefined
      ? null
      : tally(asked.filter(({ data }) => by in data).map(({ data }) => JSON.stringify(data[by])))
          .sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1))
          .slice(0, 20)
          .map(([value, count]) => ({ value: JSON.parse(value), count }));
  return { total: { count: asked.length, isEstimate: false }, buckets, values };
}

/** Hours whose count is not that of the records, of collections that are there. One statement sees one moment. */
export const wrongHours = (database: TestDatabase) =>
  database.query(
    `SELECT collection_id, hour, sum(n)::int AS off FROM (
       SELECT collection_id, date_trunc('hour', occurred_at, 'UTC') AS hour, 1 AS n FROM records
       UNION ALL SELECT collection_id, hour, -count FROM record_counts
       UNION ALL SELECT collection_id, hour, -count FROM record_changes) AS merged
     WHERE collection_id IN (SELECT id FROM collections) GROUP BY 1, 2 HAVING sum(n) <> 0`,
  );
