import pg from 'pg';
import { ADMIN } from '../support/app.js';
import { Client } from '../support/client.js';
import { makeCollection, makeRecord, must, until } from '../support/collections.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { endPrograms, pause, productionSettings, startMain } from '../support/process.js';
import { openSocket } from '../support/raw.js';

const READERS = 10_000;
const SOCKETS = 200;
/** Longer than they all take. */
const TTL_MS = 8000;

let database: TestDatabase;
let anyone: Client;
let admin: Client;
beforeAll(async () => {
  database = await createDatabase();
  const app = startMain({
    ...productionSettings(database.url),
    ADMIN_EMAIL: ADMIN.email,
    ADMIN_PASSWORD: ADMIN.password,
    CACHE_TTL_MS: String(TTL_MS),
    // Behind its time nothing is given out: all have to wait for the one who reads it anew.
    CACHE_STALE_MS: '0',
    SESSION_CHECK_MS: '5000',
    DATABASE_LOCK_TIMEOUT_MS: '30000',
    DATABASE_STATEMENT_TIMEOUT_MS: '30000',
    DATABASE_QUERY_TIMEOUT_MS: '30000',
  });
  anyone = new Client(await app.url());
  admin = await anyone.signIn(ADMIN.email, ADMIN.password);
}, 60_000);
afterAll(async () => {
  await endPrograms();
  await database.drop();
});

/** How often the records were looked at so far. PostgreSQL tells of a connection when it ends. */
async function looks(): Promise<number> {
  await database.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'floodgate' AND state = 'idle'`,
  );
  await pause(500);
  const [row] = await database.query<{ n: string }>(
    `SELECT seq_scan + idx_scan AS n FROM pg_stat_user_tables WHERE relname = 'records'`,
  );
  return Number(row?.n);
}

/** Readers come one after another on each of so many connections: more at a time would be refused. */
async function stampede({ url, tokens }: Client, path: string, sockets = SOCKETS): Promise<Record<string, number>> {
  const authorization = tokens ? `authorization: Bearer ${tokens.accessToken}\r\n` : '';
  const request = `GET ${path} HTTP/1.1\r\nhost: localhost\r\n${authorization}\r\n`;
  const found: Record<string, number> = {};
  const reader = async () => {
    const socket = openSocket(url);
    let left = READERS / sockets;
    socket.write(request);
    // An answer is so short that it comes in one piece.
    for await (const chunk of socket) {
      const [, status = ''] = /^HTTP\/1\.1 (\d+)/.exec(chunk) ?? [];
      found[status] = (found[status] ?? 0) + 1;
      if (--left === 0) break;
      socket.write(request);
    }
  };
  await Promise.all(Array.from({ length: sockets }, reader));
  return found;
}

/** Nobody can read records while the readers come. */
async function whileHeld<T>(work: () => Promise<T>): Promise<T> {
  const holder = new pg.Client({ connectionString: database.url });
  await holder.connect();
  await holder.query('BEGIN');
  await holder.query('LOCK TABLE collections, records IN ACCESS EXCLUSIVE MODE');
  try {
    const result = work();
    await until(async () => (await database.query(`SELECT FROM pg_locks WHERE NOT granted`)).length > 0);
    await pause(1000);
    await holder.query('COMMIT');
    return await result;
  } finally {
    await holder.end();
  }
}

it.each([
  ['public thing, at the edge', 'public', () => anyone],
  ['public thing, with a token', 'public', () => admin],
  ['private thing', 'private', () => admin],
] as const)(
  '10,000 readers of one %s make one query, when it was never read and when its time is over',
  async (_what, visibility, who) => {
    const { path } = await makeRecord(admin, await makeCollection(admin, visibility));
    for (const wait of [0, 1.15 * TTL_MS]) {
      // The collection is known; it is the record that all wait for.
      must(200, await who().get(path.replace(/\/records.*/, '')));
      if (wait > 0) must(200, await who().get(path));
      const before = await looks();
      await pause(wait);
      must(200, await who().get(path.replace(/\/records.*/, '')));
      expect(await whileHeld(() => stampede(who(), path))).toEqual({ 200: READERS });
      expect([wait, (await looks()) - before]).toEqual([wait, 1]);
    }
  },
  120_000,
);

it('refuses none of 2,000 who want the same public thing at once, of which nothing is known yet', async () => {
  const { path } = await makeRecord(admin, await makeCollection(admin, 'public'));
  await pause(1.15 * TTL_MS);
  expect(await whileHeld(() => stampede(anyone, path, 2000))).toEqual({ 200: READERS });
}, 60_000);
