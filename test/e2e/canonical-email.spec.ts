import fc from 'fast-check';
import pg from 'pg';
import { createApp } from '../../src/app.js';
import { loadConfig } from '../../src/config.js';
import { migrations } from '../../src/migrations.js';
import { newEmail } from '../../src/users/email.schema.js';
import { fold } from '../../src/users/fold.js';
import { must } from '../support/answers.js';
import { testEnvironment } from '../support/app.js';
import { Client } from '../support/client.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { migrateAll, migrateTo, withMigrations } from '../support/migrated.js';
import { pause } from '../support/process.js';

let database: TestDatabase;
beforeEach(async () => {
  database = await createDatabase();
});
afterEach(() => database?.drop());

const COLUMN = migrations.findIndex(({ name }) => name.startsWith('CanonicalEmail1')) + 1;

const config = () => loadConfig(testEnvironment(database.url));

/** Inserts users as the previous release does. */
const insert = (...emails: string[]) =>
  database.query<{ id: string }>(
    `INSERT INTO users (email, name, password_hash) SELECT email, 'Old', 'none' FROM unnest($1::text[]) AS t (email)
     RETURNING id`,
    [emails],
  );
const found = () =>
  database.query<{ email: string; canonical: string }>('SELECT email, canonical_email AS canonical FROM users');
const expectFolded = async (count: number) => {
  const rows = await found();
  expect(rows).toHaveLength(count);
  expect(rows.filter(({ email, canonical }) => canonical !== fold(email))).toEqual([]);
};
const brokenBy = (work: Promise<unknown>) =>
  work.then(
    () => 'nothing',
    ({ constraint }) => constraint,
  );

const letters = (characters: string) => fc.string({ unit: fc.constantFrom(...characters), minLength: 1, maxLength: 8 });
const address = fc
  .tuple(
    letters("aAzZ_'+-0"),
    letters('bBiIkKsS9'),
    letters('cCzZ').map((end) => `${end}Om`),
  )
  .map(([before, domain, end]) => `${before}@${domain}.${end}`)
  .filter((text) => newEmail.safeParse(text).success);

it('is filled in for thousands of existing users with any address, as this build computes it', async () => {
  await migrateTo(database, COLUMN - 1);
  const odd = fc.sample(fc.uniqueArray(address, { minLength: 50, maxLength: 50, selector: fold }), 1)[0] as string[];
  const many = Array.from({ length: 2500 }, (_, n) => `User.${n}@Example.com`);
  await insert(...odd, ...many);
  expect(await migrateAll(database)).toHaveLength(migrations.length - COLUMN + 1);
  await expectFolded(2550);
  const [index] = await database.query(
    `SELECT indisunique, indisvalid, attnotnull, convalidated FROM pg_index
     JOIN pg_attribute ON attrelid = indrelid AND attname = 'canonical_email'
     JOIN pg_constraint ON conname = 'users_canonical_email_there'
     WHERE indexrelid = 'users_canonical_email'::regclass`,
  );
  expect(index).toEqual({ indisunique: true, indisvalid: true, attnotnull: true, convalidated: true });
});

it.each([
  ['before the column is filled in', COLUMN],
  ['afterwards', migrations.length],
])('stays correct whatever the previous release writes %s', async (_, count) => {
  await migrateTo(database, COLUMN - 1);
  await insert('First@Example.com', 'Second@Example.com', 'Third@Example.com');
  await migrateTo(database, count);
  await insert('Fourth@Example.com');
  await database.query(`UPDATE users SET email = 'Moved@Example.com', version = 2 WHERE email = 'First@Example.com'`);
  await database.query(`UPDATE users SET email = 'FOURTH@Example.com' WHERE email = 'Fourth@Example.com'`);
  await database.query(`UPDATE users SET email = 'Away@Example.com' WHERE email = 'FOURTH@Example.com'`);
  await database.query(`UPDATE users SET name = 'New' WHERE email = 'Second@Example.com'`);
  // The previous release recognises a taken address only by this index.
  expect(await brokenBy(insert('SECOND@example.com'))).toBe('users_email');
  await migrateAll(database);
  await expectFolded(4);
  const taken = database.query(`INSERT INTO users (email, canonical_email, name, password_hash)
    VALUES ('other@example.com', 'second@example.com', 'Other', 'none')`);
  expect(await brokenBy(taken)).toBe('users_canonical_email');
});

it('waits for a row that another transaction has locked, and delays no other write', async () => {
  await migrateTo(database, COLUMN - 1);
  const [held] = (await insert('first@example.com', 'second@example.com')) as [{ id: string }];
  await migrateTo(database, COLUMN);
  const holder = new pg.Client({ connectionString: database.url });
  await holder.connect();
  await holder.query('BEGIN');
  await holder.query('SELECT FROM users WHERE id = $1 FOR UPDATE', [held.id]);
  let isDone = false;
  const migrated = migrateAll(database).then(() => {
    isDone = true;
  });
  await pause(1000);
  expect(isDone).toBe(false);
  await insert('third@example.com');
  await holder.query('COMMIT');
  await holder.end();
  await migrated;
  await expectFolded(3);
});

it('resumes after an interruption, and can be undone', async () => {
  await migrateTo(database, COLUMN);
  await insert('first@example.com');
  // An interrupted CREATE UNIQUE INDEX leaves an index of that name that enforces nothing.
  await database.query('CREATE INDEX users_canonical_email ON users (canonical_email)');
  await migrateAll(database);
  expect(await brokenBy(insert('FIRST@example.com'))).toBe('users_email');
  const [index] = await database.query(
    `SELECT indisunique FROM pg_index WHERE indexrelid = 'users_canonical_email'::regclass`,
  );
  expect(index).toEqual({ indisunique: true });
  await withMigrations(database, migrations.length, async (source) => {
    for (let count = migrations.length; count >= COLUMN; count--)
      await source.undoLastMigration({ transaction: 'none' });
  });
  expect(await database.query(`SELECT FROM pg_attribute WHERE attname = 'canonical_email'`)).toEqual([]);
  expect(await database.query(`SELECT FROM pg_proc WHERE proname = 'make_canonical_email'`)).toEqual([]);
  await insert('second@example.com');
  await migrateAll(database);
  await expectFolded(2);
});

it('works without the index and the triggers that serve the previous release', async () => {
  const app = await createApp(config());
  try {
    const client = new Client(await app.listen());
    await database.query(`DROP INDEX users_email; DROP TRIGGER users_canonical_email_left_out ON users;
      DROP TRIGGER users_canonical_email_left_behind ON users`);
    const user = { email: 'Ada@example.com', password: 'a-password-of-theirs', name: 'Ada' };
    must(201, await client.post('/api/v1/auth/register', user));
    must(409, await client.post('/api/v1/auth/register', { ...user, email: 'ADA@EXAMPLE.COM' }));
    const ada = await client.signIn('ada@EXAMPLE.com', user.password);
    const change = { email: 'Admin@Example.com' };
    must(409, await ada.patch(`/api/v1/users/${ada.userId}`, change, { 'if-match': '*' }));
    must(200, await ada.patch(`/api/v1/users/${ada.userId}`, { email: 'Moved@Example.com' }, { 'if-match': '*' }));
    await client.signIn('moved@example.com', user.password);
    await expectFolded(2);
  } finally {
    await app.stop();
  }
});
