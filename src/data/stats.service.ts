import { Inject, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { escapeLiteral } from 'pg';
import { entries } from '../platform/bounds.js';
import { Cache } from '../platform/cache/cache.js';
import { type Entry, unkept } from '../platform/cache/entry.js';
import { foundTag, SharedTier } from '../platform/cache/shared-tier.js';
import { CONFIG, type Config } from '../platform/config.token.js';
import { Database, QUERY_CANCELED } from '../platform/database/database.js';
import { databaseProblem, sqlState } from '../platform/database/database-problem.js';
import { PrimaryAndReplicas } from '../platform/database/primary-and-replicas.js';
import { Background } from '../platform/lifecycle/background.js';
import { Leftovers } from '../platform/resource/leftovers.js';
import type { Collection } from './collection.entity.js';
import type { StatsQuery } from './record.schema.js';
import { RecordsService } from './records.service.js';
import { type Slice, type SliceCount, Slices } from './slices.js';
import * as statements from './stats-statements.js';

/** Older statistics are marked as stale, and are served for the same time again at most. */
const KEPT_MS = 10_000;
/** The share of that time used as TTL, so that the TTL's random spread stays within it (see Cache). */
const TTL = 0.9;
/** What takes longer in one statement is counted in slices, for so long without another try. */
const ATTEMPT_MS = 250;
const LARGE_MS = 600_000;

const ADD_UP_INTERVAL_MS = 2000;
/** Rows that one statement adds up, and statements in one run. */
const BATCH = 10_000;
const BATCHES = 20;
/** An arbitrary number that nothing else in the database uses as an advisory lock. */
const ADD_UP_LOCK = 7_310_421_803;
const ADD_UP = `
  WITH taken AS (
    DELETE FROM record_changes WHERE ctid = ANY (ARRAY(
      SELECT ctid FROM record_changes WHERE (SELECT pg_try_advisory_xact_lock($1)) LIMIT ${BATCH})) RETURNING *)
  INSERT INTO record_counts AS c SELECT collection_id, hour, sum(count), bit_xor(mark) FROM taken GROUP BY 1, 2
  ON CONFLICT (collection_id, hour) DO UPDATE SET count = c.count + excluded.count, mark = c.mark # excluded.mark
  RETURNING true`;

/** Statistics that are not counted to their end yet. */
class Unfinished extends Error {
  constructor(readonly stats: string) {
    super('The statistics are not counted to their end yet');
  }
}

/** Counts the records of a collection. */
@Injectable()
export class StatsService implements OnApplicationBootstrap {
  /** What took too long in one statement. */
  private readonly large = new LRUCache<string, true>({ ...entries(1000), ttl: LARGE_MS });
  private readonly attemptMs: number;

  constructor(
    private readonly database: Database,
    private readonly servers: PrimaryAndReplicas,
    private readonly cache: Cache,
    private readonly shared: SharedTier,
    private readonly records: RecordsService,
    private readonly slices: Slices,
    private readonly background: Background,
    leftovers: Leftovers,
    @Inject(CONFIG) config: Config,
  ) {
    this.attemptMs = Math.min(ATTEMPT_MS, config.DATABASE_STATEMENT_TIMEOUT_MS);
    leftovers.add('record_counts', 'collection_id');
  }

  onApplicationBootstrap(): void {
    this.background.every(ADD_UP_INTERVAL_MS, 'adding up of counts', async (ending) => {
      const addUp = () => this.database.rows({ text: ADD_UP }, [ADD_UP_LOCK]);
      try {
        for (let batch = 0; batch < BATCHES && !ending.aborted; batch++) if ((await addUp()).length === 0) return;
      } catch (error) {
        // A database that is busy or away keeps what is to be added up, and is asked again soon.
        if (!databaseProblem(error)) throw error;
      }
    });
  }

  /**
   * The statistics as JSON, from the cache: after their TTL they are served stale while they are counted again. A
   * caller who has just written gets a fresh count, until the cache holds one from after `writerUntil`. Unfinished
   * statistics are not kept, and are served only if there are no others.
   */
  async of(collection: Collection, query: StatsQuery, callerId: string | undefined): Promise<Entry<string>> {
    try {
      return await this.find(collection, query, callerId);
    } catch (error) {
      if (error instanceof Unfinished) return unkept(error.stats);
      throw error;
    }
  }

  private async find(collection: Collection, query: StatsQuery, callerId: string | undefined): Promise<Entry<string>> {
    const count = async () => unkept(await this.count(collection, query, callerId));
    if (this.servers.hasWritten(callerId)) {
      this.servers.tellOf(callerId);
      return count();
    }
    const name = `counts:${collection.id}:${JSON.stringify(query)}`;
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

  /** Counts in one statement, so that all figures are of the same moment, unless that takes too long. */
  private async count(collection: Collection, query: StatsQuery, callerId: string | undefined): Promise<string> {
    const { bucket, by, ...filters } = query;
    const name = JSON.stringify([collection.id, query]);
    if (!this.large.has(name)) {
      const conditions = this.records.conditions(collection, filters, escapeLiteral);
      const buckets =
        filters.where === undefined && bucket !== 'minute'
          ? statements.bucketsByHour(collection.id, query)
          : statements.bucketsOf(conditions, bucket);
      const values = by === undefined ? by : statements.valuesOf(conditions, by);
      const text = `SET LOCAL statement_timeout = ${this.attemptMs}; ${statements.answer(query, buckets, values)}`;
      try {
        return await this.answer(callerId, text);
      } catch (error) {
        if (sqlState(error) !== QUERY_CANCELED) throw error;
        this.large.set(name, true);
      }
    }
    return this.countSlices(collection, query, callerId);
  }

  /** @throws Unfinished */
  private async countSlices(collection: Collection, query: StatsQuery, callerId: string | undefined): Promise<string> {
    const { bucket, by, from, to, where } = query;
    // These are known by the hour, and need not wait for the values.
    const hasBuckets = bucket !== 'minute' && by !== undefined && (from ?? to ?? where) === undefined;
    const slices = await this.rows<Slice>(callerId, statements.plan(collection.id, query));
    const shape = JSON.stringify([collection.id, by, where, hasBuckets || bucket]);
    const { counts, progress } = await this.slices.count(shape, slices, async (slice) => {
      const range = { from: slice.begun, to: slice.ended, where };
      const conditions = this.records.conditions(collection, range, escapeLiteral);
      const buckets = hasBuckets ? undefined : statements.bucketsOf(conditions, bucket);
      const values = by === undefined ? by : statements.valuesOf(conditions, by);
      const text = statements.slice(collection.id, slice, buckets, values);
      return (await this.rows<SliceCount>(callerId, text))[0] as SliceCount;
    });
    const text = statements.answer(
      query,
      hasBuckets ? statements.bucketsByHour(collection.id, query) : statements.MERGED_BUCKETS,
      by === undefined ? by : statements.MERGED_VALUES,
      {
        progress,
        isEstimate: !hasBuckets && progress < 1,
        areValuesExact: progress === 1 && !counts.some(({ isCut }) => isCut),
      },
    );
    const stats = await this.answer(callerId, text, [`[${counts.map(({ json }) => json).join(',')}]`]);
    if (progress < 1) throw new Unfinished(stats);
    return stats;
  }

  private async answer(callerId: string | undefined, text: string, values: unknown[] = []): Promise<string> {
    const [counted] = await this.rows<{ stats: unknown }>(callerId, text, values);
    return JSON.stringify(counted?.stats);
  }

  private rows<Row>(callerId: string | undefined, text: string, values: unknown[] = []): Promise<Row[]> {
    return this.database.replicaRows<Row>(callerId, { text }, values);
  }
}
