import { setTimeout as sleep } from 'node:timers/promises';

/** @returns the work's result. Rejects when it takes longer */
export function within<T>(ms: number, work: Promise<T>): Promise<T> {
  const late = sleep(ms, undefined, { ref: false }).then(() => {
    throw new Error('it did not answer in time');
  });
  return Promise.race([work, late]);
}
