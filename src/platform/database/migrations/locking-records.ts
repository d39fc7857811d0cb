import { setTimeout as sleep } from 'node:timers/promises';
import type { QueryRunner } from 'typeorm';
import { StartError } from '../../start-error.js';
import { LOCK_NOT_AVAILABLE, sqlState } from '../database-problem.js';

/** Longer than deadlock_timeout (1 s), after which an autovacuum gives way; shorter than what a request waits (2 s). */
const LOCK_MS = 1500;
/** In between, those who have waited behind it are served. */
const PAUSE_MS = 4500;
const ATTEMPTS = 20;

/**
 * Runs statements that need a lock on records, in one transaction, until they get it. For migrations without one.
 * @throws StartError when others do not let go of the table
 */
export async function lockingRecords(runner: QueryRunner, statements: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      // As one message, these are one transaction.
      return await runner.query(`SET LOCAL lock_timeout = ${LOCK_MS}; ${statements}`);
    } catch (error) {
      if (sqlState(error) !== LOCK_NOT_AVAILABLE) throw error;
      if (attempt === ATTEMPTS)
        throw new StartError(
          'The table records was in use all the time, by a long export, transaction or VACUUM: migrate again after it.',
        );
      await sleep(PAUSE_MS);
    }
  }
}
