import pg from 'pg';
import { migrations } from '../../src/migrations.js';
import { until } from '../support/answers.js';
import { wrongHours } from '../support/counted.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { migrateAll, migrateTo, withMigrations } from '../support/migrated.js';

const COUNTS = migrations.findIndex(({ name }) => name.startsWith('RecordCounts')) + 1;

let database: TestDatabase;
beforeEach(async () => {
  database = await createDatabase();
  await migrateTo(database, COUNTS - 1);
  await database.query(
    `INSERT INTO users (email, canonical_email, name, password_hash) VALUES ('a@b.de', 'a@b.de', 'A', 'none')`,
  );
  await database.query(
    `INSERT INTO collections (name, visibility, owner_id) SELECT 'set-' || n, 'public', (SELECT id FROM users) FROM generate_series(1, 250) n`,
  );
  await write(40_000);
});
afterEach(() => database?.drop());

/** As any release does it. */
const write = (count: number) =>
  database.query(
    `INSERT INTO records (collection_id, data, occurred_at)
     SELECT c.id, '{}', '2001-01-01T00:00:00Z'::timestamptz + random() * interval '40 days'
     FROM (SELECT n, row_number() OVER () AS at FROM generate_series(1, $1::int) n) AS n
     JOIN (SELECT id, row_number() OVER () AS at FROM collections) AS c ON c.at = 1 + n.at % 250`,
    [count],
  );

it('counts what is there, while it is written to, changed and deleted', async () => {
  let isOver = false;
  const writers = [1, 2, 3].map(async () => {
    let rounds = 0;
    for (; !isOver; rounds++) {
      await write(50);
      await database.query(
        `UPDATE records SET occurred_at = occurred_at + interval '1 hour' WHERE id IN (SELECT id FROM records ORDER BY random() LIMIT 20 FOR UPDATE SKIP LOCKED)`,
      );
      await database.query(
        `DELETE FROM records WHERE id IN (SELECT id FROM records ORDER BY random() LIMIT 10 FOR UPDATE SKIP LOCKED)`,
      );
    }
    return rounds;
  });
  await migrateAll(database).finally(() => {
    isOver = true;
  });
  for (const writer of writers) expect(await writer).toBeGreaterThan(0);
  expect(await wrongHours(database)).toEqual([]);
  await write(100);
  expect(await wrongHours(database)).toEqual([]);
});

it('waits for no longer than its time for a writer, counts what that has written, and can be begun again', async () => {
  const holder = new pg.Client({ connectionString: database.url });
  await holder.connect();
  await holder.query('BEGIN');
  await holder.query(`INSERT INTO records (collection_id, data) SELECT id, '{}' FROM collections LIMIT 1`);
  await expect(migrateAll(database)).rejects.toThrow(/lock/);
  // Nobody else waited behind it for longer.
  await write(10);
  await holder.query('COMMIT');
  await holder.end();
  await migrateAll(database);
  expect(await wrongHours(database)).toEqual([]);
});

it('is right where it was cut off after some collections, and when it is taken back and made again', async () => {
  await migrateAll(database);
  // As if it had come half way.
  await database.query(`DELETE FROM migrations WHERE name LIKE 'RecordCounts%'`);
  await database.query(`DELETE FROM record_changes WHERE random() < 0.5`);
  await write(500);
  await migrateAll(database);
  expect(await wrongHours(database)).toEqual([]);
  await withMigrations(database, migrations.length, async (source) => {
    for (let count = migrations.length; count >= COUNTS; count--)
      await source.undoLastMigration({ transaction: 'none' });
  });
  expect(await database.query(`SELECT FROM pg_trigger WHERE tgrelid = 'records'::regclass`)).toEqual([]);
  await write(500);
  await migrateAll(database);
  await until(async () => (await wrongHours(database)).length === 0, 1);
});

it('lets a role that owns nothing, and has no right to the counts yet, write on', async () => {
  const role = `writer_${Date.now()}`;
  await database.query(
    `CREATE ROLE ${role} LOGIN PASSWORD 'of-the-test'; GRANT SELECT, INSERT, UPDATE, DELETE ON records, collections TO ${role}`,
  );
  await migrateAll(database);
  const url = new URL(database.url);
  Object.assign(url, { username: role, password: 'of-the-test' });
  const writer = new pg.Client({ connectionString: url.href });
  await writer.connect();
  try {
    await writer.query(`INSERT INTO records (collection_id, data) SELECT id, '{}' FROM collections`);
    await writer.query(`UPDATE records SET version = 2 WHERE version = 1`);
    await writer.query('DELETE FROM records WHERE version = 2 AND random() < 0.1');
  } finally {
    await writer.end();
  }
  expect(await wrongHours(database)).toEqual([]);
  await database.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
});
