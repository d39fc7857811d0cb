import { readFileSync } from 'node:fs';
import type { TestDatabase } from './database.js';
import { migrateAll } from './migrated.js';

const step = (database: TestDatabase, name: string) =>
  database.query(readFileSync(`deploy/partition-records/${name}.sql`, 'utf8'));

/** Partitions `records` as docs/scaling.md says it. @returns how many rows differed before the swap */
export async function partition(database: TestDatabase): Promise<number> {
  await step(database, '1-prepare');
  await migrateAll(database);
  await step(database, '2-copy');
  const [compared] = (await step(database, '3-compare')) as [{ differences: string }];
  await step(database, '4-swap');
  return Number(compared.differences);
}
