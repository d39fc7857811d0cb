import { setTimeout as sleep } from 'node:timers/promises';
import { Client, type Pool } from 'pg';
import { DataSource } from 'typeorm';
import type { Config } from '../config.token.js';
import { StartError } from '../start-error.js';
import { ClientWithTimeout } from './client-with-timeout.js';
import { sqlState } from './database-problem.js';
import { grantTo } from './grants.js';
import type { Migration } from './migrations/index.js';
import { missingPartitions } from './partitions.js';
import { urlForPg } from './url.js';

/** An arbitrary number that no other advisory lock in the database uses. */
const MIGRATION_LOCK = 7_310_421_801;
const LOCK_POLL_MS = 200;
/**
 * The lock belongs to a transaction, since behind a pooler a session-level lock would outlive its client. The
 * transaction must not run statements with parameters: these take a snapshot, for which a CREATE INDEX CONCURRENTLY
 * would wait.
 */
const BEGIN = `BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL transaction_timeout = 0`;
const TAKE = `SELECT pg_try_advisory_xact_lock(${MIGRATION_LOCK}) AS "isOurs"`;
const CONNECT_TIMEOUT_MS = 5000;
/** PostgreSQL's answer to an unknown setting, which means that the server is too old. */
const UNDEFINED_OBJECT = '42704';
const tooOld = (version: string) => new StartError(`PostgreSQL 18 or newer is needed, and this one is ${version}.`);

const ABOUT = `
  SELECT current_setting('server_version_num')::int AS number, current_setting('server_version') AS version,
    current_setting('server_encoding') AS encoding`;
/** Describes the process that holds the lock. */
const HOLDER = `
  SELECT format('process %s of PostgreSQL (%s, %s)', pid, coalesce(nullif(application_name, ''), 'without a name'),
    coalesce('from ' || host(client_addr), 'local')) AS holder
  FROM pg_locks JOIN pg_stat_activity USING (pid)
  WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (classid::bigint << 32) + objid::bigint = $1`;

/** Receives messages about a wait, for the operator. */
export type Say = (text: string) => void;

/** The time in a migration's name, which makes it a version of the schema. */
const versionOf = (name: string) => Number(name.slice(-13));

/** The name under which TypeORM records a migration. */
const nameOf = (migration: Migration): string => new migration().name ?? migration.name;

/** The names of the applied migrations; none in an empty database. */
async function appliedTo(database: Client | Pool): Promise<string[]> {
  const table = await database.query(`SELECT to_regclass('migrations') AS name`);
  if (table.rows[0]?.name == null) return [];
  const { rows } = await database.query<{ name: string }>('SELECT name FROM migrations');
  return rows.map(({ name }) => name);
}

/** Whether all of these migrations are applied. */
export async function isMigrated(database: Client | Pool, migrations: Migration[]): Promise<boolean> {
  const applied = new Set(await appliedTo(database));
  return migrations.every((migration) => applied.has(nameOf(migration)));
}

/**
 * Makes sure that the schema fits this build, before anything else uses it.
 * @throws StartError when the database cannot be used, is too old, has another encoding, lacks a partition or has a
 *   schema newer than this build
 */
export async function prepareSchema(config: Config, migrations: Migration[], say: Say): Promise<void> {
  const applied = await withClient(config, async (client) => {
    const [{ number, version, encoding }] = (await client.query(ABOUT)).rows;
    if (number < 180_000) throw tooOld(version);
    if (encoding !== 'UTF8')
      throw new StartError(`The database has the encoding ${encoding}, which lacks characters: create it with UTF8.`);
    const missing = await missingPartitions(client);
    if (missing.length > 0)
      throw new StartError(`The database lacks partitions: attach (or create) those of ${missing.join(', ')}.`);
    return appliedTo(client);
  });
  const own = Math.max(0, ...migrations.map((migration) => versionOf(nameOf(migration))));
  const newer = applied.filter((name) => versionOf(name) > own);
  if (newer.length > 0)
    throw new StartError(
      `The database's schema is newer than this build (${own}), by ${newer.join(', ')}: run a build that has it, or take it back with npm run migrate -- --down where it is.`,
    );
  const isCurrent = migrations.every((migration) => applied.includes(nameOf(migration)));
  if (config.MIGRATE_ON_START && !isCurrent) await migrate(config, migrations, say);
}

/**
 * Runs the missing migrations, one process at a time, and lets the role of DATABASE_URL use the tables. Others wait and
 * then find nothing to do.
 * @returns the names of the migrations that it has run
 * @throws StartError when one fails, or the wait takes longer than MIGRATION_WAIT_MS
 */
export const migrate = (config: Config, migrations: Migration[], say: Say): Promise<string[]> =>
  inTurn(config, migrations, say, async (dataSource) => {
    const done = await dataSource.runMigrations({ transaction: 'each' });
    await grantTo(dataSource, decodeURIComponent(new URL(config.DATABASE_URL as string).username));
    return done.map(({ name }) => name);
  });

/** Takes back the last migration that was run. @returns its name; nothing where none was run */
export const revert = (config: Config, migrations: Migration[], say: Say): Promise<string | undefined> =>
  inTurn(config, migrations, say, async (dataSource, client) => {
    const [last] = (await appliedTo(client)).sort((a, b) => versionOf(b) - versionOf(a));
    const migration = migrations.find((one) => nameOf(one) === last);
    if (last && !migration) throw new StartError(`${last} is not in this build: take it back where it is.`);
    // TypeORM heeds a migration's own wish only on the way up.
    const isAlone = migration && new migration().transaction === false;
    await dataSource.undoLastMigration({ transaction: isAlone ? 'none' : 'each' });
    return last;
  });

function inTurn<T>(
  config: Config,
  migrations: Migration[],
  say: Say,
  work: (dataSource: DataSource, client: Client) => Promise<T>,
): Promise<T> {
  return withClient(config, async (client) => {
    await takeTurn(client, config.MIGRATION_WAIT_MS, say);
    const dataSource = new DataSource({
      type: 'postgres',
      url: migrationUrl(config),
      migrations,
      installExtensions: false,
      extra: { Client: ClientWithTimeout },
    });
    await dataSource.initialize();
    try {
      return await work(dataSource, client);
    } finally {
      await dataSource.destroy();
    }
  });
}

/** Polls, since a wait inside PostgreSQL would block a CREATE INDEX CONCURRENTLY of the process that holds the lock. */
async function takeTurn(client: Client, waitMs: number, say: Say): Promise<void> {
  const until = performance.now() + waitMs;
  let told = '';
  for (;;) {
    await client.query(BEGIN);
    if ((await client.query(TAKE)).rows[0].isOurs) return;
    await client.query('ROLLBACK');
    const [found] = (await client.query<{ holder: string }>(HOLDER, [MIGRATION_LOCK])).rows;
    const holder = found?.holder ?? told;
    if (performance.now() > until)
      throw new StartError(`The schema is still being migrated by ${holder} after ${waitMs} ms: giving up.`);
    if (holder !== told) say(`The schema is being migrated by ${holder}: waiting for it.`);
    told = holder;
    await sleep(LOCK_POLL_MS);
  }
}

const migrationUrl = (config: Config) => urlForPg((config.DATABASE_MIGRATION_URL ?? config.DATABASE_URL) as string);

async function withClient<T>(config: Config, work: (client: Client) => Promise<T>): Promise<T> {
  const client = await connect(migrationUrl(config));
  try {
    return await work(client);
  } catch (error) {
    if (error instanceof StartError || !sqlState(error)) throw error;
    throw new StartError(`PostgreSQL refused to prepare the schema: ${(error as Error).message}`);
  } finally {
    await client.end().catch(() => {});
  }
}

async function connect(url: string): Promise<Client> {
  try {
    // Inside try, since this throws when a file named in the URL cannot be read.
    const client = new ClientWithTimeout({
      connectionString: url,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      application_name: 'floodgate migrations',
    });
    await client.connect();
    return client;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === UNDEFINED_OBJECT) throw tooOld(await versionAt(url));
    throw new StartError(`The database at ${new URL(url).host} cannot be used: ${message || code}`);
  }
}

/** Of a server that is too old for what every connection of ours asks for. */
async function versionAt(url: string): Promise<string> {
  const client = new Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query('SHOW server_version');
  await client.end();
  return rows[0].server_version;
}
