import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { DataSource } from 'typeorm';
import type { Config } from '../config.token.js';
import { StartError } from '../start-error.js';
import { migrations, SCHEMA_VERSION } from './migrations/index.js';

/** Any number that nothing else in the database uses as an advisory lock. */
const MIGRATION_LOCK = 7_310_421_801;
const LOCK_POLL_MS = 200;
const CONNECT_TIMEOUT_MS = 5000;

/** The version of the schema that is there; 0 in an empty database. */
export async function schemaVersion(database: pg.Client | pg.Pool): Promise<number> {
  const table = await database.query(`SELECT to_regclass('migrations') AS name`);
  if (table.rows[0]?.name == null) return 0;
  const newest = await database.query('SELECT coalesce(max("timestamp"), 0) AS version FROM migrations');
  return Number(newest.rows[0]?.version);
}

/**
 * Sees to it that the schema fits this build, before anything else uses it.
 * @throws StartError when the database cannot be reached, is too old, or its schema is newer than this build
 */
export async function prepareSchema(config: Config): Promise<void> {
  const version = await withClient(config, async (client) => {
    const { rows } = await client.query('SHOW server_version_num');
    if (Number(rows[0].server_version_num) < 180_000)
      throw new StartError('PostgreSQL 18 or newer is needed: this one is older.');
    return schemaVersion(client);
  });
  const versions = `The database's schema (${version}) is newer than this build (${SCHEMA_VERSION})`;
  if (version > SCHEMA_VERSION) throw new StartError(`${versions}: run a newer build.`);
  if (config.MIGRATE_ON_START && version < SCHEMA_VERSION) await migrate(config);
}

/**
 * Runs the migrations that the database lacks, one process at a time: others wait and then find nothing to do.
 * @returns the names of those that were run
 */
export function migrate(config: Config): Promise<string[]> {
  return withClient(config, async (client) => {
    // To wait within PostgreSQL would hold up a CREATE INDEX CONCURRENTLY of the one who has the lock.
    const tryLock = () => client.query('SELECT pg_try_advisory_lock($1) AS is_ours', [MIGRATION_LOCK]);
    while (!(await tryLock()).rows[0].is_ours) await sleep(LOCK_POLL_MS);
    const url = migrationUrl(config);
    const dataSource = new DataSource({ type: 'postgres', url, migrations, installExtensions: false });
    await dataSource.initialize();
    try {
      return (await dataSource.runMigrations({ transaction: 'each' })).map(({ name }) => name);
    } finally {
      await dataSource.destroy();
    }
  });
}

const migrationUrl = (config: Config) => (config.DATABASE_MIGRATION_URL ?? config.DATABASE_URL) as string;

async function withClient<T>(config: Config, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = await connect(migrationUrl(config));
  try {
    return await work(client);
  } finally {
    await client.end().catch(() => {});
  }
}

async function connect(url: string): Promise<pg.Client> {
  try {
    // Throws when a file that the URL names cannot be read.
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: CONNECT_TIMEOUT_MS });
    client.on('error', () => {});
    await client.connect();
    return client;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new StartError(`The database at ${new URL(url).host} cannot be used: ${message || code}`);
  }
}
