import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { ADMIN } from '../support/app.js';
import { Client } from '../support/client.js';
import { etagOf, makeCollection, makeRecord, must, readAll } from '../support/collections.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import {
  endPrograms,
  expectUnharmed,
  type Program,
  productionSettings,
  startMain,
  startMigrate,
} from '../support/process.js';
import { describeWith, need } from '../support/program.js';
import { lines, NDJSON } from '../support/uploads.js';

const CREDENTIALS = { email: 'Ada@example.com', password: 'a-password-of-hers' };
const ADA = { ...CREDENTIALS, name: 'İIıi ğ' };
/** A record that was made under a key. */
const FIRST = { data: { n: 0, text: "a\\b'c\n\té🦀" } };
const KEY = { 'idempotency-key': 'from before' };

/** Everything that PostgreSQL knows about the schema, as text. */
const SCHEMA = `
  SELECT 'column' AS kind, format('%s.%s %s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
      l.collname, pg_get_expr(d.adbin, d.adrelid)) AS said
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_collation l ON l.oid = a.attcollation
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL SELECT 'index', pg_get_indexdef(indexrelid) || indisvalid FROM pg_index JOIN pg_class c ON c.oid = indrelid
    WHERE c.relnamespace = 'public'::regnamespace
  UNION ALL SELECT 'constraint', conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace
  UNION ALL SELECT 'trigger', pg_get_triggerdef(t.oid) || tgenabled::text FROM pg_trigger t WHERE NOT tgisinternal
  UNION ALL SELECT 'function', pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace`;

async function schemaOf(database: TestDatabase): Promise<string[]> {
  const rows = await database.query<{ kind: string; said: string }>(SCHEMA);
  return rows.map(({ kind, said }) => `${kind}: ${said}`).sort();
}

/** An empty database with another locale, owned by an ordinary role of its own. */
async function createTarget(): Promise<TestDatabase> {
  const plain = await createDatabase();
  const name = `restored_${randomBytes(6).toString('hex')}`;
  await plain.query(`CREATE ROLE ${name} LOGIN PASSWORD 'of-the-restored'`);
  await plain.query(`CREATE DATABASE ${name} OWNER ${name} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'
    LOCALE_PROVIDER icu ICU_LOCALE 'tr' ICU_RULES '&z < a'`);
  const url = new URL(plain.url);
  Object.assign(url, { pathname: `/${name}`, username: name, password: 'of-the-restored' });
  return {
    url: url.href,
    query: async <Row>(text: string, values: unknown[] = []) => {
      const client = new pg.Client({ connectionString: url.href });
      await client.connect();
      try {
        return (await client.query(text, values)).rows as Row[];
      } finally {
        await client.end();
      }
    },
    drop: async () => {
      await plain.query(`DROP DATABASE ${name} WITH (FORCE)`);
      await plain.query(`DROP ROLE ${name}`);
      await plain.drop();
    },
  };
}

describeWith('pg_dump', 'a dump restored into another database', () => {
  let source: TestDatabase;
  const folder = mkdtempSync(join(tmpdir(), 'floodgate-dump-'));
  let seen: unknown;
  let created: string;
  let refreshToken: string;
  beforeAll(async () => {
    source = await createDatabase();
    const settings = { ...productionSettings(source.url), ADMIN_EMAIL: ADMIN.email, ADMIN_PASSWORD: ADMIN.password };
    const anyone = new Client(await startMain(settings).url());
    const admin = await anyone.signIn(ADMIN.email, ADMIN.password);
    for (const name of ['Ida', 'zoe', 'a-b', 'ab'])
      must(201, await anyone.post('/api/v1/auth/register', { ...ADA, email: `${name}@example.com` }));
    must(201, await anyone.post('/api/v1/auth/register', ADA));
    const ada = await anyone.signIn(ADA.email, ADA.password);
    for (const name of ['zebra', 'a-b', 'ab', 'i']) await makeCollection(ada, 'public', name);
    const set = { records: '/api/v1/data/ab/records' };
    created = must(201, await ada.post(set.records, FIRST, KEY)).text;
    for (let n = 1; n < 4; n++) await makeRecord(ada, set, { n, exact: 0.1 }, `2001-01-0${n}T23:59:59.987Z`);
    must(200, await ada.post(`${set.records}/bulk`, lines(10, 39), NDJSON));
    const gone = await makeRecord(ada, set);
    must(204, await ada.delete(gone.path, { 'if-match': gone.etag }));
    refreshToken = must(200, await anyone.post('/api/v1/auth/login', CREDENTIALS)).body.refreshToken;
    seen = await look(ada, admin);
  }, 60_000);
  afterAll(async () => {
    await endPrograms();
    rmSync(folder, { recursive: true, force: true });
    await source.drop();
  });

  /** Reads everything. */
  async function look(user: Client, admin: Client): Promise<unknown> {
    const sets = await readAll<{ name: string }>(user, '/api/v1/data?limit=3');
    return {
      users: await readAll(admin, '/api/v1/users?limit=2'),
      found: await readAll(admin, '/api/v1/users?email=A'),
      sets,
      records: await Promise.all(sets.map(({ name }) => readAll(user, `/api/v1/data/${name}/records?limit=7`))),
      some: await readAll(user, `/api/v1/data/ab/records?order=asc&where=${encodeURIComponent('{"exact":0.1}')}`),
      exported: (await user.get('/api/v1/data/ab/records/export')).text,
      counted: must(200, await user.get('/api/v1/data/ab/stats?bucket=month&by=n')).body,
    };
  }

  const run = (program: 'pg_dump' | 'pg_restore' | 'psql', ...parameters: string[]) =>
    execFileSync(need(program), parameters, { stdio: ['ignore', 'ignore', 'inherit'] });

  const ways: [string, (to: string) => void][] = [
    [
      'as text, by psql',
      (to) => {
        const file = join(folder, 'dump.sql');
        run('pg_dump', '--no-owner', '--no-acl', '--file', file, source.url);
        run('psql', '--no-psqlrc', '--quiet', '--set=ON_ERROR_STOP=1', '--file', file, to);
      },
    ],
    [
      'in a format of its own, by pg_restore',
      (to) => {
        const file = join(folder, 'dump');
        run('pg_dump', '--format=custom', '--file', file, source.url);
        run('pg_restore', '--no-owner', '--no-acl', '--exit-on-error', `--dbname=${to}`, file);
      },
    ],
  ];

  describe.each(ways)('%s', (_, restore) => {
    let target: TestDatabase;
    let program: Program;
    let anyone: Client;
    beforeAll(async () => {
      target = await createTarget();
      restore(target.url);
    }, 60_000);
    afterAll(async () => {
      await endPrograms();
      await target.drop();
    });

    it('has the same schema, which needs no migration', async () => {
      const restored = await schemaOf(target);
      expect(new Set(restored.map((line) => line.split(':')[0]))).toEqual(
        new Set(['column', 'constraint', 'function', 'index', 'trigger']),
      );
      expect(restored).toEqual(await schemaOf(source));
      const migration = startMigrate(productionSettings(target.url));
      expect([await migration.end(), migration.stdout]).toEqual([
        { code: 0, signal: null },
        'The schema is up to date.\n',
      ]);
    });

    it('serves the old data to the same callers', async () => {
      program = startMain({ ...productionSettings(target.url), MIGRATE_ON_START: 'false' });
      anyone = new Client(await program.url());
      const admin = await anyone.signIn(ADMIN.email, ADMIN.password);
      const ada = await anyone.signIn('ADA@example.com', ADA.password);
      must(200, await anyone.get('/health/startup'));
      expect(await look(ada, admin)).toEqual(seen);
      must(200, await anyone.post('/api/v1/auth/refresh', { refreshToken }));
      const again = must(201, await ada.post('/api/v1/data/ab/records', FIRST, KEY));
      expect([again.text, again.headers.get('idempotency-replayed')]).toEqual([created, 'true']);
      expectUnharmed(program);
    });

    it('accepts new data and removals', async () => {
      const ada = await anyone.signIn(ADA.email, ADA.password);
      must(409, await anyone.post('/api/v1/auth/register', { ...ADA, email: 'aDA@example.com' }));
      const path = '/api/v1/data/ab';
      const made = await makeRecord(ada, { records: `${path}/records` }, { n: 99 });
      must(200, await ada.patch(made.path, { data: { m: 1 } }, { 'if-match': made.etag }));
      expect((await ada.get(`${path}/records?limit=1`)).body.items[0].data).toEqual({ n: 99, m: 1 });
      must(204, await ada.delete(path, { 'if-match': etagOf(await ada.get(path)) }));
      const own = `/api/v1/users/${ada.userId}`;
      must(204, await ada.delete(own, { 'if-match': etagOf(await ada.get(own)) }));
      must(401, await anyone.post('/api/v1/auth/login', CREDENTIALS));
      must(404, await anyone.get('/api/v1/data/zebra'));
      expectUnharmed(program);
    });
  });
});
