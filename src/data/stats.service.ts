import { Injectable } from '@nestjs/common';
import { Cache, type Entry, unkept } from '../platform/cache/cache.js';
import { SharedTier } from '../platform/cache/shared-tier.js';
import { Database } from '../platform/database/database.js';
import { Servers } from '../platform/database/servers.js';
import type { Collection } from './collection.entity.js';
import type { Stats, StatsQuery } from './record.schema.js';
import {
  bucketStatement,
  countStatement,
  estimateStatement,
  type Filter,
  valueStatement,
} from './record.statements.js';
import { parseWhere } from './where.js';

interface Plan {
  'QUERY PLAN': [{ Plan: { 'Plan Rows': number } }];
}

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

  /** @throws Problem invalid-request for a `where` that is no JSON object */
  private async count(
    collection: Collection,
    { bucket, by, from, to, where }: StatsQuery,
    callerId: string | undefined,
  ): Promise<Stats> {
    const rows = <Row>({ statement, values }: ReturnType<typeof bucketStatement>) =>
      this.database.replicaRows<Row>(callerId, statement, values);
    const filter: Filter = { collectionId: collection.id, from, to, where: parseWhere(where) };
    const [total, buckets, values] = await Promise.all([
      this.total(filter, rows),
      rows<{ from: Date; count: number }>(bucketStatement(filter, bucket)),
      by === undefined ? null : rows<{ value: unknown; count: number }>(valueStatement(filter, by)),
    ]);
    return {
      total,
      bucket,
      buckets: buckets.map(({ from: start, count }) => ({ from: start.toISOString(), count })),
      by: by ?? null,
      values,
    };
  }

  private async total(
    filter: Filter,
    rows: <Row>(query: ReturnType<typeof bucketStatement>) => Promise<Row[]>,
  ): Promise<Stats['total']> {
    const { limit, ...counting } = countStatement(filter);
    const [counted] = await rows<{ count: number }>(counting);
    if (counted && counted.count <= limit) return { count: counted.count, isEstimate: false };
    const [plan] = await rows<Plan>(estimateStatement(filter));
    // What was counted is known: the estimate can be no less.
    return { count: Math.max(plan?.['QUERY PLAN'][0].Plan['Plan Rows'] ?? 0, limit + 1), isEstimate: true };
  }
}
