import { type Alone, startAlone } from '../support/alone.js';
import { makeCollection, makeRecord, must } from '../support/collections.js';
import { expectProblem } from '../support/problem.js';
import { expectUnharmed } from '../support/process.js';
import { inMs, row } from '../support/row.js';

const STATEMENT_TIMEOUT_MS = 1000;
/** The time that a busy machine may take on top of the time-out. */
const MARGIN_MS = 1000;

let app: Alone;
beforeAll(async () => {
  // Nothing is cached, and everything except short reads has one connection, which the next request has to use.
  app = await startAlone({
    DATABASE_STATEMENT_TIMEOUT_MS: String(STATEMENT_TIMEOUT_MS),
    DATABASE_POOL_SIZE: '2',
    CACHE_TTL_MS: '0',
  });
  await app.database.query(`
    CREATE FUNCTION doze() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$`);
}, 60_000);
afterAll(() => app?.close());

const SESSIONS = `SELECT pid FROM pg_stat_activity
  WHERE datname = current_database() AND application_name = 'floodgate' ORDER BY pid`;

/** Sends requests that sleep in PostgreSQL, and again when they no longer do. */
async function survive(
  sleep: string,
  wake: string,
  ask: (n: number) => ReturnType<Alone['admin']['get']>,
  status: number,
) {
  const { database } = app;
  must(status, await ask(0));
  const before = await database.query(SESSIONS);
  await database.query(sleep);
  const times: number[] = [];
  try {
    for (let n = 1; n <= 3; n++) {
      const begun = Date.now();
      expectProblem(await ask(n), 'temporary-reduced-capacity');
      times.push(Date.now() - begun);
    }
  } finally {
    await database.query(wake);
  }
  // The query was cancelled, and nothing sleeps any more.
  const asleep = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'`;
  expect(await database.query(asleep)).toEqual([]);
  expect(Math.min(...times)).toBeGreaterThanOrEqual(STATEMENT_TIMEOUT_MS - 50);
  expect(Math.max(...times)).toBeLessThan(STATEMENT_TIMEOUT_MS + MARGIN_MS);
  for (let n = 4; n < 8; n++) must(status, await ask(n));
  expectUnharmed(app.program);
  expect(await database.query(SESSIONS)).toEqual(expect.arrayContaining(before));
  return { 'slowest 503': inMs(Math.max(...times)), 'sessions kept': before.length };
}

const dozing = (when: string, table: string) =>
  [
    `CREATE TRIGGER doze BEFORE ${when} ON ${table} FOR EACH ROW EXECUTE FUNCTION doze()`,
    `DROP TRIGGER doze ON ${table}`,
  ] as const;

row(13, 'in one statement', async () => {
  const { records } = await makeCollection(app.admin, 'private', 'statement');
  const seen = await survive(...dozing('INSERT', 'records'), (n) => app.admin.post(records, { data: { n } }), 201);
  expect(await app.database.query(`SELECT data->>'n' AS n FROM records ORDER BY id`)).toEqual(
    ['0', '4', '5', '6', '7'].map((n) => ({ n })),
  );
  return seen;
});

row(13, 'in a transaction', async () => {
  const { path } = await makeRecord(app.admin, await makeCollection(app.admin, 'private', 'transaction'), { n: 0 });
  const change = async (n: number) => {
    const etag = (await app.admin.get(path)).headers.get('etag') as string;
    return app.admin.patch(path, { data: { n } }, { 'if-match': etag });
  };
  return survive(...dozing('UPDATE', 'records'), change, 200);
});

row(13, 'in a COPY', async () => {
  const { records } = await makeCollection(app.admin, 'private', 'copy');
  const upload = (n: number) => app.admin.post(`${records}/bulk`, [{ data: { n } }]);
  return survive(...dozing('INSERT', 'records'), upload, 200);
});

row(13, 'in a short read, with others waiting behind it', async () => {
  const { path } = await makeRecord(app.admin, await makeCollection(app.admin, 'public', 'read'));
  const sleepy = `ALTER TABLE records RENAME TO awake; CREATE VIEW records AS SELECT awake.*
    FROM awake, LATERAL (SELECT pg_sleep(CASE WHEN awake.id IS NULL THEN 0 ELSE 60 END)) OFFSET 0`;
  const wake = 'DROP VIEW records; ALTER TABLE awake RENAME TO records';
  return survive(sleepy, wake, () => app.anyone.get(path), 200);
});
