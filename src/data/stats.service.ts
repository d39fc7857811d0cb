import { Injectable } from '@nestjs/common';
import { escapeLiteral } from 'pg';
import { Cache } from '../platform/cache/cache.js';
import { type Entry, unkept } from '../platform/cache/entry.js';
import { foundTag, SharedTier } from '../platform/cache/shared-tier.js';
import { Database } from '../platform/database/database.js';
import { PrimaryAndReplicas } from '../platform/database/primary-and-replicas.js';
import { momentOf } from '../platform/resource/table.js';
import type { Collection } from './collection.entity.js';
import type { StatsQuery } from './record.schema.js';
import { RecordsService } from './records.service.js';

/** The most buckets and values in an answer. */
const BUCKETS = 1000;
const COMMONEST = 20;
/** Older statistics are marked as stale, and are served for the same time again at most. */
const KEPT_MS = 10_000;
/** The share of that time used as TTL, so that the TTL's random spread stays within it (see Cache). */
const TTL = 0.9;

/** Counts the records of a collection. */
@Injectable()
export class StatsService {
  constructor(
    private readonly database: Database,
    private readonly servers: PrimaryAndReplicas,
    private readonly cache: Cache,
    private readonly shared: SharedTier,
    private readonly records: RecordsService,
  ) {}

  /**
   * The statistics as JSON, from the cache: after their TTL they are served stale while they are counted again. A
   * caller who has just written gets a fresh count, until the cache holds one from after `writerUntil`.
   */
  async of(collection: Collection, query: StatsQuery, callerId: string | undefined): Promise<Entry<string>> {
    const count = async () => unkept(await this.count(collection, query, callerId));
    if (this.servers.hasWritten(callerId)) {
      this.servers.tellOf(callerId);
      return count();
    }
    const name = `stats:${collection.id}:${JSON.stringify(query)}`;
    // An answer of a replica may already be old.
    const keptMs = Math.max(Math.min(KEPT_MS - this.servers.mostBehindMs, this.cache.lifetime.ttlMs), 0);
    const ttlMs = TTL * keptMs;
    const load = async () => {
      const { value, ageMs } = await this.shared.once(name, ttlMs, () => this.count(collection, query, undefined));
      return { value, ageMs, bytes: value.length, tags: [foundTag(name)] };
    };
    const entry = await this.cache.fetch(name, load, { ttlMs, staleMs: keptMs });
    return entry.storedAt < this.servers.writerUntil(callerId) ? count() : entry;
  }

  /** Counts in one statement, so that all figures are of the same moment. */
  private async count(
    collection: Collection,
    { bucket, by, ...filters }: StatsQuery,
    callerId: string | undefined,
  ): Promise<string> {
    const given: string[] = [];
    const place = (value: string) => `$${given.push(value)}`;
    const where = this.records.conditions(collection, filters, place);
    const field = by === undefined ? '' : `${place(by)}::text`;
    const values = `(
      SELECT coalesce(json_agg(json_build_object('value', value, 'count', count)), '[]') FROM (
        SELECT data -> ${field} AS value, count(*) FROM records
        WHERE ${where} AND data ? ${field} GROUP BY 1
        ORDER BY 2 DESC, (data -> ${field})::text COLLATE "C" LIMIT ${COMMONEST}) AS commonest)`;
    const begun = `date_trunc(${escapeLiteral(bucket)}, occurred_at, 'UTC')`;
    const text = `
      SELECT json_build_object('total', json_build_object('count', coalesce(max(total), 0), 'isEstimate', false),
        'bucket', ${escapeLiteral(bucket)}, 'buckets', coalesce(json_agg(json_build_object('from', begun, 'count', count)), '[]'),
        'by', ${field || 'NULL'}, 'values', ${field ? values : 'NULL::json'}) AS stats
      FROM (
        SELECT ${momentOf(begun)} AS begun, count(*),
          sum(count(*)) OVER () AS total
        FROM records WHERE ${where} GROUP BY ${begun} ORDER BY ${begun} DESC LIMIT ${BUCKETS}) AS counted`;
    const [counted] = await this.database.replicaRows<{ stats: unknown }>(callerId, { text }, given);
    return JSON.stringify(counted?.stats);
  }
}
