import { Injectable } from '@nestjs/common';
import { Cache, type Entry, unkept } from '../platform/cache/cache.js';
import { SharedTier } from '../platform/cache/shared-tier.js';
import { Database } from '../platform/database/database.js';
import { Servers } from '../platform/database/servers.js';
import type { Collection } from './collection.entity.js';
import type { Stats, StatsQuery } from './record.schema.js';
import type { Filter, Query } from './record.statements.js';
import { bucketStatement, COUNTED, countStatement, estimateStatement, valueStatement } from './record.statements.js';

interface Plan {
  'QUERY PLAN': [{ Plan: { 'Plan Rows': number } }];
}
type Rows = <Row>(query: Query) => Promise<Row[]>;

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
        const value = await this.shared.once(name, lifetime.ttlMs, () => this.count(collection, query, undefined));
        return { value, bytes: JSON.stringify(value).length };
      },
      lifetime,
    );
  }

  private async count(
    { id }: Collection,
    { bucket, by, ...filters }: StatsQuery,
    callerId: string | undefined,
  ): Promise<Stats> {
    const rows: Rows = ({ statement, values }) => this.database.replicaRows(callerId, statement, values);
    const filter = { collectionId: id, ...filters };
    const [total, buckets, values] = await Promise.all([
      totalOf(filter, rows),
      rows<{ from: Date; count: number }>(bucketStatement(filter, bucket)),
      by === undefined ? null : rows<{ value: unknown; count: number }>(valueStatement(filter, by)),
    ]);
    const dated = buckets.map(({ from, count }) => ({ from: from.toISOString(), count }));
    return { total, bucket, buckets: dated, by: by ?? null, values };
  }
}

async function totalOf(filter: Filter, rows: Rows): Promise<Stats['total']> {
  const [counted] = await rows<{ count: number }>(countStatement(filter));
  if (counted && counted.count <= COUNTED) return { count: counted.count, isEstimate: false };
  const [plan] = await rows<Plan>(estimateStatement(filter));
  // What was counted is known: the estimate can be no less.
  return { count: Math.max(plan?.['QUERY PLAN'][0].Plan['Plan Rows'] ?? 0, COUNTED + 1), isEstimate: true };
}
