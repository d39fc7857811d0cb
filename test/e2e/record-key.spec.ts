import pg from 'pg';
import { migrations } from '../../src/migrations.js';
import { RecordKey1764900000000 } from '../../src/platform/database/migrations/1764900000000-record-key.js';
import { must, until } from '../support/answers.js';
import { startApp, type TestApp } from '../support/app.js';
import { makeCollection, makeRecord } from '../support/collections.js';
import { wrongHours } from '../support/counted.js';
import { Ledger } from '../support/ledger.js';
import { migrateAll, withMigrations } from '../support/migrated.js';
import { pause } from '../support/process.js';

const ROWS = 60_000;
const OLD = 'PRIMARY KEY (id)';
const NEW = 'PRIMARY KEY (id, collection_id)';

let app: TestApp;
beforeEach(async () => {
  // As by default: a request waits for a lock for 2 s.
  app = await startApp({ DATABASE_LOCK_TIMEOUT_MS: '2000' });
});
afterEach(() => app?.close());

const keyOf = async () => {
  const [found] = await app.database.query<{ key: string }>(
    `SELECT pg_get_constraintdef(oid) AS key FROM pg_constraint WHERE conrelid = 'records'::regclass AND contype = 'p'`,
  );
  return found?.key;
};
const indexes = () =>
  app.database.query<{ name: string; isValid: boolean }>(
    `SELECT indexrelid::regclass::text AS name, indisvalid AS "isValid" FROM pg_index WHERE indrelid = 'records'::regclass ORDER BY 1`,
  );
const INDEXES = ['records_data', 'records_newest', 'records_pkey'].map((name) => ({ name, isValid: true }));

async function takeBack(): Promise<void> {
  await withMigrations(app.database, migrations.length, async (source) => {
    const runner = source.createQueryRunner();
    await new RecordKey1764900000000().down(runner);
    await runner.release();
  });
  await app.database.query(`DELETE FROM migrations WHERE name LIKE 'RecordKey%'`);
}

const fill = () =>
  app.database.query(
    `INSERT INTO records (collection_id, data, occurred_at)
     SELECT (SELECT id FROM collections LIMIT 1), jsonb_build_object('n', n), now() - n * interval '1 minute'
     FROM generate_series(1, $1::int) n`,
    [ROWS],
  );

/** What release 1.0.0 sends, on one connection, with its prepared statements. @returns how often, when it is stopped */
async function oldRelease(collectionId: string) {
  const client = new pg.Client({ connectionString: app.database.url });
  await client.connect();
  await client.query(`SET lock_timeout = '2s'`);
  let isOver = false;
  const ask = (name: string, text: string, values: unknown[]) => client.query({ name, text, values });
  const run = async () => {
    let rounds = 0;
    for (; !isOver; rounds++) {
      const made = await ask('create', `INSERT INTO records (collection_id, data) VALUES ($1, '{}') RETURNING id`, [
        collectionId,
      ]);
      const { id } = made.rows[0];
      const read = await ask('get', 'SELECT id, version FROM records WHERE id = ANY ($1)', [[id]]);
      expect(read.rows).toEqual([{ id, version: 1 }]);
      const update = 'UPDATE records SET version = version + 1 WHERE id = $1';
      expect((await ask('update', update, [id])).rowCount).toBe(1);
      if (rounds % 2 === 0) expect((await ask('remove', 'DELETE FROM records WHERE id = $1', [id])).rowCount).toBe(1);
    }
    return rounds;
  };
  const running = run();
  running.catch(() => {});
  return async () => {
    isOver = true;
    const rounds = await running;
    await client.end();
    return rounds;
  };
}

it('is changed and taken back while both releases read and write: no request fails, and nothing is lost', async () => {
  const old = await makeCollection(await app.user());
  const [{ id }] = (await app.database.query('SELECT id FROM collections WHERE name = $1', [old.name])) as [
    { id: string },
  ];
  await fill();
  const ledger = await Ledger.open([await app.user(), await app.user(), await app.user()]);
  const stop = await oldRelease(id);
  await takeBack();
  expect(await keyOf()).toBe(OLD);
  await pause(500);
  const before = ledger.acknowledged;
  await migrateAll(app.database);
  expect(await keyOf()).toBe(NEW);
  await pause(500);
  const rounds = await stop();
  expect(rounds).toBeGreaterThan(10);
  expect(ledger.acknowledged).toBeGreaterThan(before);
  expect(await ledger.settle(app.database)).toEqual([]);
  // A removed record may be asked for by another writer.
  expect(ledger.outcomes.filter(({ status }) => status === 0 || (status >= 400 && status !== 404))).toEqual([]);
  const left = ROWS + Math.floor(rounds / 2);
  expect(await app.database.query('SELECT count(*)::int AS left FROM records WHERE collection_id = $1', [id])).toEqual([
    { left },
  ]);
  expect(await wrongHours(app.database)).toEqual([]);
  expect(await indexes()).toEqual(INDEXES);
});

it('is taken up again after its index was cancelled half way, and when only the index is there', async () => {
  await makeCollection(await app.user());
  await fill();
  await takeBack();
  const holder = new pg.Client({ connectionString: app.database.url });
  await holder.connect();
  // The build waits for the end of a transaction that has written.
  await holder.query('BEGIN');
  await holder.query(`UPDATE records SET version = 2 WHERE id = (SELECT id FROM records LIMIT 1)`);
  const migrated = migrateAll(app.database).then(
    () => 'done',
    (error: Error) => error.message,
  );
  const cancel = async () =>
    (
      await app.database.query(
        `SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'CREATE UNIQUE INDEX CONCURRENTLY%'`,
      )
    ).length > 0;
  await until(async () => (await indexes()).some(({ isValid }) => !isValid));
  await until(cancel);
  expect(await migrated).toMatch(/cancel/);
  expect(await indexes()).toContainEqual({ name: 'records_id_collection', isValid: false });
  await holder.query('COMMIT');
  await holder.end();
  expect(await migrateAll(app.database)).toEqual(['RecordKey1764900000000']);
  expect([await keyOf(), await indexes()]).toEqual([NEW, INDEXES]);
  await takeBack();
  await app.database.query('CREATE UNIQUE INDEX records_id_collection ON records (id, collection_id)');
  await migrateAll(app.database);
  expect([await keyOf(), await indexes()]).toEqual([NEW, INDEXES]);
  // The key was changed, and the process killed before it was noted down.
  await app.database.query(`DELETE FROM migrations WHERE name LIKE 'RecordKey%'`);
  await migrateAll(app.database);
  expect([await keyOf(), await indexes()]).toEqual([NEW, INDEXES]);
});

it('waits for an export that holds the table, and lets requests through in between', async () => {
  const owner = await app.user();
  const set = await makeCollection(owner);
  const record = await makeRecord(owner, set);
  await takeBack();
  const holder = new pg.Client({ connectionString: app.database.url });
  await holder.connect();
  await holder.query('BEGIN; SELECT FROM records LIMIT 1');
  let isDone = false;
  const migrated = migrateAll(app.database).then(() => {
    isDone = true;
  });
  const waiting = () =>
    app.database.query(
      `SELECT FROM pg_locks WHERE relation = 'records'::regclass AND mode = 'AccessExclusiveLock' AND NOT granted`,
    );
  await until(async () => (await waiting()).length > 0);
  // These wait behind the migration, which gives up before they do.
  must(201, await owner.post(set.records, { data: { n: 1 } }));
  must(200, await owner.patch(record.path, { data: { n: 2 } }, { 'if-match': record.etag }));
  expect([await waiting(), isDone, await keyOf()]).toEqual([[], false, OLD]);
  await holder.query('COMMIT');
  await holder.end();
  await migrated;
  expect(await keyOf()).toBe(NEW);
});
