import { Injectable } from '@nestjs/common';
import { Database } from '../platform/database/database.js';

/** Rows that one transaction removes: a fraction of a second's work. */
const BATCH = 5000;
/** Batches in one go, after which a process that wants to stop can. */
const BATCHES = 40;
/** A write that began before its collection went may still land: longer than any statement may take. */
const SETTLED_AFTER = '5 minutes';

const NEXT = `
  SELECT collection_id AS id, removed_at < now() - interval '${SETTLED_AFTER}' AS settled FROM removals r
  WHERE removed_at < now() - interval '${SETTLED_AFTER}' OR EXISTS (SELECT FROM records WHERE collection_id = r.collection_id)
  LIMIT 1 FOR UPDATE SKIP LOCKED`;

/** Removes, behind a collection's own removal, its records: in batches, by any number of replicas at once. */
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
      const [, removed] = await manager.query<[unknown[], number]>(
        'DELETE FROM records WHERE ctid = ANY (ARRAY(SELECT ctid FROM records WHERE collection_id = $1 LIMIT $2))',
        [removal.id, BATCH],
      );
      if (removal.settled && removed < BATCH)
        await manager.query('DELETE FROM removals WHERE collection_id = $1', [removal.id]);
      return true;
    });
  }
}
