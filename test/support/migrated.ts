import { DataSource } from 'typeorm';
import { loadConfig } from '../../src/config.js';
import { migrations } from '../../src/migrations.js';
import { migrate } from '../../src/platform/database/schema.js';
import { testEnvironment } from './app.js';
import type { TestDatabase } from './database.js';

/** Gives the work a data source that knows the first `count` migrations. */
export async function withMigrations<T>(
  { url }: TestDatabase,
  count: number,
  work: (source: DataSource) => Promise<T>,
): Promise<T> {
  const known = migrations.slice(0, count);
  const source = new DataSource({ type: 'postgres', url, migrations: known, installExtensions: false });
  await source.initialize();
  try {
    return await work(source);
  } finally {
    await source.destroy();
  }
}

/** Brings the schema to the state after this many migrations. */
export const migrateTo = (database: TestDatabase, count: number) =>
  withMigrations(database, count, (source) => source.runMigrations({ transaction: 'each' }));

/** Brings the schema up to date as a release does. */
export const migrateAll = ({ url }: TestDatabase) => migrate(loadConfig(testEnvironment(url)), migrations, () => {});
