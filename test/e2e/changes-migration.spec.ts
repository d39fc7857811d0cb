import pg from 'pg';
import { migrations } from '../../src/migrations.js';
import { until } from '../support/answers.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { migrateAll, migrateTo, withMigrations } from '../support/migrated.js';

const CHANGES = migrations.findIndex(({ name }) => name.startsWith('Changes'));

let database: TestDatabase;
let set: string;
beforeEach(async () => {
  database = await createDatabase();
  await migrateTo(database, CHANGES);
  const [made] = await database.query<{ id: string }>(
    `WITH owner AS (
       INSERT INTO users (email, canonical_email, name, password_hash) VALUES ('a@b.de', 'a@b.de', 'A', 'none') RETURNING id)
     INSERT INTO collections (name, visibility, owner_id) SELECT 'set', 'public', id FROM owner RETURNING id`,
  );
  set = made?.id as string;
});
afterEach(() => database?.drop());

const INSERT = 'INSERT INTO records (collection_id, data) VALUES ($1, $2)';
const told = () => database.query<{ n: string }>(`SELECT row->'data'->>'n' AS n FROM changes ORDER BY id`);
const connect = async () => {
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  return client;
};

it('waits for a transaction that writes records, again and again, and lets others write in between', async () => {
  const [holder, other] = [await connect(), await connect()];
  await other.query(`SET lock_timeout = '2s'`);
  await holder.query('BEGIN');
  await holder.query(INSERT, [set, '{"n":"held"}']);
  let isDone = false;
  const migrated = migrateAll(database).finally(() => {
    isDone = true;
  });
  migrated.catch(() => {});
  const isWaiting = async () =>
    (await database.query(`SELECT FROM pg_locks WHERE relation = 'records'::regclass AND NOT granted`)).length > 0;
  for (let attempt = 0; attempt < 2; attempt++) {
    await until(isWaiting);
    // It waits behind the migration, which gives up before it does.
    await other.query(INSERT, [set, '{"n":"between"}']);
    expect([await isWaiting(), isDone]).toEqual([false, false]);
  }
  await holder.query('COMMIT');
  expect(await migrated).toContain('Changes1764760000000');
  await other.query(INSERT, [set, '{"n":"after"}']);
  expect(await told()).toEqual([{ n: 'after' }]);
  await Promise.all([holder.end(), other.end()]);
});

it('is done once, also when it was cut off before it was recorded, and can be taken back', async () => {
  await migrateTo(database, CHANGES + 1);
  await database.query(INSERT, [set, '{"n":"1"}']);
  await database.query(`DELETE FROM migrations WHERE name LIKE 'Changes%'`);
  await migrateTo(database, CHANGES + 1);
  expect(await told()).toEqual([{ n: '1' }]);
  await withMigrations(database, CHANGES + 1, (source) => source.undoLastMigration({ transaction: 'none' }));
  await database.query(INSERT, [set, '{"n":"2"}']);
  await migrateAll(database);
  expect(await told()).toEqual([]);
});
