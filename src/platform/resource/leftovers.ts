import { Inject, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { CONFIG, type Config } from '../config.token.js';
import { Database } from '../database/database.js';
import { databaseProblem } from '../database/database-problem.js';
import { Background } from '../lifecycle/background.js';
import { KEPT } from './idempotency.js';

const INTERVAL_MS = 2000;
const KEYS_INTERVAL_MS = 600_000;
/** Rows that one transaction removes, within a fraction of a second. */
const BATCH = 5000;
/** Batches in one run. */
const BATCHES = 40;
/** A write that began before its parent was removed may still commit: this is longer than any statement may take. */
const SETTLED_AFTER = '5 minutes';

/** An arbitrary number that nothing else in the database uses as an advisory lock. */
const KEYS_LOCK = 7_310_421_802;
const REMOVE_EXPIRED_KEYS = `
  DELETE FROM idempotency_keys WHERE (SELECT pg_try_advisory_xact_lock($1)) AND created_at < now() - ${KEPT}`;

/**
 * Removes orphaned rows of removed parents, in batches, on any number of replicas at once. It also removes expired
 * idempotency keys, and those of removed callers and collections. The table `removals` lists what was removed.
 */
@Injectable()
export class Leftovers implements OnApplicationBootstrap {
  /** Tables and conditions of orphaned rows, where $1 is the id that was removed. */
  private readonly rows = ['idempotency_keys WHERE collection_id = $1', 'idempotency_keys WHERE caller_id = $1'];

  constructor(
    private readonly database: Database,
    private readonly background: Background,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  onApplicationBootstrap(): void {
    // There it would take time from requests, and other processes do it.
    if (this.config.WORKER === 'off') return;
    const remove = (ending: AbortSignal) => this.remove(ending);
    this.background.every(INTERVAL_MS, 'removal of orphaned rows', remove, databaseProblem);
    const removeKeys = () => this.removeExpiredKeys();
    this.background.every(KEYS_INTERVAL_MS, 'removal of expired idempotency keys', removeKeys, databaseProblem);
  }

  /** Also removes rows of a table whose `column` holds the removed id. */
  add(table: string, column: string): void {
    this.rows.unshift(`${table} WHERE ${column} = $1`);
  }

  /** Runs in one process at a time. */
  async removeExpiredKeys(): Promise<void> {
    await this.database.rows({ text: REMOVE_EXPIRED_KEYS }, [KEYS_LOCK]);
  }

  private async remove(ending: AbortSignal): Promise<void> {
    if ((await this.database.rows({ text: 'SELECT FROM removals LIMIT 1' }, [])).length === 0) return;
    for (let batch = 0; batch < BATCHES && !ending.aborted && (await this.removeBatch()); batch++);
  }

  /** @returns whether there was something to do */
  private removeBatch(): Promise<boolean> {
    const isLeft = this.rows.map((rows) => `EXISTS (SELECT FROM ${rows.replace('$1', 'r.collection_id')})`);
    const next = `
      SELECT collection_id AS id, removed_at < now() - interval '${SETTLED_AFTER}' AS settled FROM removals r
      WHERE removed_at < now() - interval '${SETTLED_AFTER}' OR ${isLeft.join(' OR ')}
      LIMIT 1 FOR UPDATE SKIP LOCKED`;
    return this.database.transaction(async (manager) => {
      const [removal] = await manager.query<{ id: string; settled: boolean }[]>(next);
      if (!removal) return false;
      let removed = 0;
      for (const rows of this.rows) {
        // Both times with the id, since another partition has rows at the same places.
        const batch = `DELETE FROM ${rows} AND ctid = ANY (ARRAY(SELECT ctid FROM ${rows} LIMIT ${BATCH}))`;
        removed += (await manager.query<[unknown[], number]>(batch, [removal.id]))[1];
      }
      if (removal.settled && removed < BATCH)
        await manager.query('DELETE FROM removals WHERE collection_id = $1', [removal.id]);
      return true;
    });
  }
}
