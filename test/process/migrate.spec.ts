import pg from 'pg';
import { ADMIN } from '../support/app.js';
import { Client } from '../support/client.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { expectProblem } from '../support/problem.js';
import { endPrograms, pause, productionSettings, startMain, startMigrate } from '../support/process.js';

let database: TestDatabase;
beforeEach(async () => {
  database = await createDatabase();
});
afterEach(async () => {
  await endPrograms();
  await database?.drop();
});

describe('the migration command', () => {
  it('brings an empty database up to date, and then finds nothing to do', async () => {
    const first = startMigrate(productionSettings(database.url));
    expect(await first.end()).toEqual({ code: 0, signal: null });
    expect(first.stdout).toMatch(/^Migrated: \w+/);
    const tables = await database.query<{ name: string }>(
      `SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public'`,
    );
    expect(tables.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['users', 'sessions', 'collections', 'records', 'migrations']),
    );
    const second = startMigrate(productionSettings(database.url));
    expect(await second.end()).toEqual({ code: 0, signal: null });
    expect([second.stdout, second.stderr]).toEqual(['The schema is up to date.\n', '']);
  });

  it('undoes one migration after the other with --down until none is left, and runs them all again', async () => {
    const settings = productionSettings(database.url);
    const schema = () =>
      database.query(
        `SELECT table_name, column_name, data_type, collation_name FROM information_schema.columns
         WHERE table_schema = 'public' ORDER BY 1, 2`,
      );
    const run = async (...more: string[]) => {
      const program = startMigrate(settings, more);
      expect([await program.end(), program.stderr]).toEqual([{ code: 0, signal: null }, '']);
      return program.stdout;
    };
    await run();
    const before = await schema();
    const names = (await database.query<{ name: string }>('SELECT name FROM migrations ORDER BY id DESC')).map(
      ({ name }) => name,
    );
    for (const name of names) expect(await run('--down')).toBe(`Taken back: ${name}\n`);
    expect(await run('--down')).toBe('No migration was run.\n');
    expect((await schema()).filter(({ table_name }) => table_name !== 'migrations')).toEqual([]);
    await run();
    expect(await schema()).toEqual(before);
    await database.query(`INSERT INTO migrations ("timestamp", name) VALUES (9999999999999, 'Later9999999999999')`);
    const other = startMigrate(settings, ['--down']);
    expect((await other.end()).code).toBe(1);
    expect(other.stderr).toBe('Later9999999999999 is not in this build: take it back where it is.\n');
  });

  it('migrates once when five run at the same time', async () => {
    const programs = Array.from({ length: 5 }, () => startMigrate(productionSettings(database.url)));
    for (const program of programs) {
      expect(await program.end()).toEqual({ code: 0, signal: null });
      expect(program.stderr).toMatch(/^(?:The schema is being migrated by process \d+ .+: waiting for it\.\n)*$/);
    }
    expect(programs.filter(({ stdout }) => stdout.startsWith('Migrated: '))).toHaveLength(1);
    expect(programs.filter(({ stdout }) => stdout === 'The schema is up to date.\n')).toHaveLength(4);
    const names = await database.query<{ name: string }>('SELECT name FROM migrations');
    expect(new Set(names.map(({ name }) => name)).size).toBe(names.length);
  });

  it('does not block another migration that builds an index concurrently', async () => {
    const has = new pg.Client({ connectionString: database.url, application_name: 'a deploy' });
    await has.connect();
    await has.query(`SELECT pg_advisory_lock(7310421801); CREATE TABLE large (n integer); SET lock_timeout = '5s'`);
    const waiting = startMigrate(productionSettings(database.url));
    await pause(1500);
    await has.query('CREATE INDEX CONCURRENTLY ON large (n)');
    expect([waiting.stdout, waiting.stderr]).toEqual([
      '',
      expect.stringMatching(
        /^The schema is being migrated by process \d+ of PostgreSQL \(a deploy, .+\): waiting for it\.\n$/,
      ),
    ]);
    await has.end();
    expect(await waiting.end()).toEqual({ code: 0, signal: null });
    expect(waiting.stdout).toMatch(/^Migrated: /);
  });

  it('gives up after MIGRATION_WAIT_MS, and names the holder of the lock', async () => {
    const has = new pg.Client({ connectionString: database.url, application_name: 'a deploy' });
    await has.connect();
    await has.query('SELECT pg_advisory_lock(7310421801)');
    for (const start of [startMigrate, startMain]) {
      const waiting = start({ ...productionSettings(database.url), MIGRATION_WAIT_MS: '1000' });
      expect(await waiting.end()).toEqual({ code: 1, signal: null });
      expect(waiting.stderr).toMatch(
        /^The schema is still being migrated by process \d+ of PostgreSQL \(a deploy, .+\) after 1000 ms: giving up\.$/m,
      );
      expect(waiting.stdout + waiting.stderr).not.toMatch(/^ +at /m);
    }
    await has.end();
  });

  it('uses DATABASE_MIGRATION_URL when it is set', async () => {
    const program = startMigrate({
      ...productionSettings('postgres://nobody:nothing@127.0.0.1:1/nowhere'),
      DATABASE_MIGRATION_URL: database.url,
    });
    expect(await program.end()).toEqual({ code: 0, signal: null });
    expect(await database.query(`SELECT to_regclass('users') AS name`)).toEqual([{ name: 'users' }]);
  });

  it.each([
    ['without DATABASE_URL', { NODE_ENV: 'production' }, /^DATABASE_URL is missing[^\n]*\n(?:REDIS_URL[^\n]*\n)?$/],
    [
      'without a reachable database',
      { NODE_ENV: 'test', DATABASE_URL: 'postgres://u:p@127.0.0.1:1/x' },
      /^[^\n]*127\.0\.0\.1:1[^\n]*\n$/,
    ],
  ])('%s reports what is missing in one sentence, and exits with 1', async (_, settings, sentence) => {
    const secrets = productionSettings(database.url);
    const { APP_SECRET = '', JWT_PRIVATE_KEY = '' } = secrets;
    const program = startMigrate({ APP_SECRET, JWT_PRIVATE_KEY, ...(settings as Record<string, string>) });
    expect(await program.end()).toEqual({ code: 1, signal: null });
    expect([program.stdout, program.stderr]).toEqual(['', expect.stringMatching(sentence)]);
  });
});

describe('an app that does not migrate at start', () => {
  it.each([
    ['', {}],
    [' and has a first admin to make', { ADMIN_EMAIL: ADMIN.email, ADMIN_PASSWORD: ADMIN.password }],
  ])('waits for an empty database to be migrated%s, without a restart', async (_, admin) => {
    const settings = { ...productionSettings(database.url), ...(admin as Record<string, string>) };
    const app = startMain({ ...settings, MIGRATE_ON_START: 'false' });
    const client = new Client(await app.url());
    for (const probe of ['startup', 'ready']) {
      const answer = await client.get(`/health/${probe}`);
      expectProblem(answer, 'temporary-reduced-capacity');
      expect(answer.body.checks.schema).toMatchObject({ status: 'down', message: expect.any(String) });
    }
    expect((await client.get('/health/live')).status).toBe(200);
    expect((await startMigrate(settings).end()).code).toBe(0);
    for (const deadline = Date.now() + 10_000; Date.now() < deadline; await pause(100))
      if ((await client.get('/health/ready')).status === 200) break;
    for (const probe of ['startup', 'ready', 'live'])
      expect([probe, (await client.get(`/health/${probe}`)).status]).toEqual([probe, 200]);
    expect((await client.get('/api/v1/data')).status).toBe(200);
    if ('ADMIN_EMAIL' in admin) {
      for (const deadline = Date.now() + 10_000; Date.now() < deadline; await pause(100))
        if ((await database.query('SELECT FROM users')).length > 0) break;
      await client.signIn(ADMIN.email, ADMIN.password);
    }
  });
});
