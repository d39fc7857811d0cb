import { Injectable } from '@nestjs/common';
import { escapeLiteral } from 'pg';
import { Cache, type Entry, unkept } from '../platform/cache/cache.js';
import { SharedTier } from '../platform/cache/shared-tier.js';
import { Database } from '../platform/database/database.js';
import { Servers } from '../platform/database/servers.js';
import type { Collection } from './collection.entity.js';
import type { Stats, StatsQuery } from './record.schema.js';
import { conditionsOf } from './record.statements.js';

interface Plan {
  'QUERY PLAN': [{ Plan: { 'Plan Rows': number } }];
}
type Rows = <Row>(text: string, ...more: string[]) => Promise<Row[]>;

/** Up to this many, a total is counted; beyond, it is the planner's estimate. */
const COUNTED = 10_000;
/** Buckets and values that are shown at most. */
const BUCKETS = 1000;
const COMMONEST = 20;
const KEPT_MS = 10_000;
const STALE_MS = 60_000;

/** Figures about the records of a collection. */
@Injectable()
export class StatsService {
  constructor(
    private readonly database: Database,
    private readonly servers: Servers,
    private readonly cache: Cache,
    private readonly shared: SharedTier,
  ) {}

  /** The figures as they are kept, for 10 s: after that a reader gets them once more while they are counted anew. Who has just written has them counted. */
  async of(collection: Collection, query: StatsQuery, callerId: string | undefined): Promise<Entry<Stats>> {
    if (this.servers.hasWritten(callerId)) return unkept(await this.count(collection, query, callerId));
    const name = `stats:${collection.id}:${JSON.stringify(query)}`;
    const lifetime = { ttlMs: Math.min(KEPT_MS, this.cache.lifetime.ttlMs), staleMs: STALE_MS };
    return this.cache.fetch(
      name,
      async () => {
        const found = await this.shared.once(name, lifetime.ttlMs, () => this.count(collection, query, undefined));
        return { ...found, bytes: JSON.stringify(found.value).length };
      },
      lifetime,
    );
  }

  private async count(
    { id }: Collection,
    { bucket, by, ...filters }: StatsQuery,
    callerId: string | undefined,
  ): Promise<Stats> {
    const given: string[] = [];
    const where = conditionsOf({ collectionId: id, ...filters }, (value) => `$${given.push(value)}`);
    const rows: Rows = (text, ...more) => this.database.replicaRows(callerId, { text }, [...given, ...more]);
    const field = `$${given.length + 1}::text`;
    const [total, buckets, values] = await Promise.all([
      totalOf(where, rows),
      rows<{ from: Date; count: number }>(`
        SELECT date_trunc(${escapeLiteral(bucket)}, occurred_at, 'UTC') AS "from", count(*)::int AS count
        FROM records WHERE ${where} GROUP BY 1 ORDER BY 1 DESC LIMIT ${BUCKETS}`),
      by === undefined
        ? null
        : rows<{ value: unknown; count: number }>(
            `SELECT data -> ${field} AS value, count(*)::int AS count FROM records
             WHERE ${where} AND data ? ${field} GROUP BY 1
             ORDER BY 2 DESC, (data -> ${field})::text COLLATE "C" LIMIT ${COMMONEST}`,
            by,
          ),
    ]);
    const dated = buckets.map(({ from, count }) => ({ from: from.toISOString(), count }));
    return { total, bucket, buckets: dated, by: by ?? null, values };
  }
}

async function totalOf(where: string, rows: Rows): Promise<Stats['total']> {
  const [counted] = await rows<{ count: number }>(
    `SELECT count(*)::int AS count FROM (SELECT FROM records WHERE ${where} LIMIT ${COUNTED + 1}) AS counted`,
  );
  if (counted && counted.count <= COUNTED) return { count: counted.count, isEstimate: false };
  const [plan] = await rows<Plan>(`EXPLAIN (FORMAT JSON) SELECT FROM records WHERE ${where}`);
  // What was counted is known: the estimate can be no less.
  return { count: Math.max(plan?.['QUERY PLAN'][0].Plan['Plan Rows'] ?? 0, COUNTED + 1), isEstimate: true };
}
