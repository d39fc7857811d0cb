import { Injectable } from '@nestjs/common';
import { Database } from '../platform/database/database.js';

/** Rows that one transaction removes: a fraction of a second's work. */
const BATCH = 5000;
/** Batches in one go, after which a process that wants to stop can. */
const BATCHES = 40;
/** A write that began before its collection went may still land: longer than any statement may take. */
const SETTLED_AFTER = '5 minutes';

/** Rows of what is gone, by the id of it: a collection, or a user. */
const LEFT = [
  'records WHERE collection_id = $1',
  'idempotency_keys WHERE collection_id = $1',
  'idempotency_keys WHERE caller_id = $1',
];

const NEXT = `
  SELECT collection_id AS id, removed_at < now() - interval '${SETTLED_AFTER}' AS settled FROM removals r
  WHERE removed_at < now() - interval '${SETTLED_AFTER}'
    OR ${LEFT.map((rows) => `EXISTS (SELECT FROM ${rows.replace('$1', 'r.collection_id')})`).join(' OR ')}
  LIMIT 1 FOR UPDATE SKIP LOCKED`;

/** Removes, behind the removal of a collection or a user, what is left of it: in batches, by any number of replicas at once. */
@Injectable()
export class RemovalsService {
  constructor(private readonly database: Database) {}

  async run(ending: AbortSignal): Promise<void> {
    for (let batch = 0; batch < BATCHES && !ending.aborted && (await this.removeBatch()); batch++);
  }

  /** @returns whether there was something to do */
  private removeBatch(): Promise<boolean> {
    return this.database.transaction(async (manager) => {
      const [removal] = await manager.query<{ id: string; settled: boolean }[]>(NEXT);
      if (!removal) return false;
      let removed = 0;
      for (const rows of LEFT) {
        const [table] = rows.split(' ', 1);
        const batch = `DELETE FROM ${table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM ${rows} LIMIT ${BATCH}))`;
        removed += (await manager.query<[unknown[], number]>(batch, [removal.id]))[1];
      }
      if (removal.settled && removed < BATCH)
        await manager.query('DELETE FROM removals WHERE collection_id = $1', [removal.id]);
      return true;
    });
  }
}
