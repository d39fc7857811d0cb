import { ADMIN } from '../support/app.js';
import { type AskedDatabase, createAskedDatabase } from '../support/asked-database.js';
import { Client } from '../support/client.js';
import { makeCollection, makeRecord, must } from '../support/collections.js';
import { whileLocked } from '../support/locks.js';
import { endPrograms, pause, productionSettings, startMain } from '../support/process.js';
import { openSocket } from '../support/raw.js';
import { TestRedis } from '../support/redis.js';
import { untilHeard } from '../support/replicas.js';
import { type Figures, inMs, row } from '../support/row.js';
import { figuresOf } from '../support/watch.js';

const READERS = 10_000;
/** Longer than it takes to answer all readers. */
const TTL_MS = 8000;

let database: AskedDatabase;
let redis: TestRedis;
let anyone: Client[];
let admin: Client[];
beforeAll(async () => {
  [database, redis] = await Promise.all([createAskedDatabase(), TestRedis.start()]);
  // Both connect directly to Redis: a proxy in this process, which plays all the readers, would delay messages.
  const start = async () => {
    const program = startMain({
      ...productionSettings(database.url),
      REDIS_URL: redis.url,
      ADMIN_EMAIL: ADMIN.email,
      ADMIN_PASSWORD: ADMIN.password,
      CACHE_TTL_MS: String(TTL_MS),
      // Nothing stale is served: everybody has to wait for the one load.
      CACHE_STALE_MS: '0',
      SESSION_CHECK_MS: '5000',
      DATABASE_LOCK_TIMEOUT_MS: '30000',
      DATABASE_STATEMENT_TIMEOUT_MS: '30000',
      DATABASE_QUERY_TIMEOUT_MS: '30000',
    });
    return new Client(await program.url());
  };
  anyone = [await start(), await start()];
  admin = await Promise.all(anyone.map((client) => client.signIn(ADMIN.email, ADMIN.password)));
  await untilHeard();
}, 60_000);
afterAll(async () => {
  await endPrograms();
  await redis?.kill();
  await database?.drop();
});

/** Readers on this many connections, half of them at each process, one after another on each. @returns answers by status */
async function stampede(who: Client[], path: string, sockets: number): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  const reader = async ({ url, tokens }: Client) => {
    const authorization = tokens ? `authorization: Bearer ${tokens.accessToken}\r\n` : '';
    const request = `GET ${path} HTTP/1.1\r\nhost: localhost\r\n${authorization}\r\n`;
    const socket = openSocket(url);
    let left = READERS / sockets;
    socket.write(request);
    // An answer is short enough to arrive in one piece.
    for await (const chunk of socket) {
      const [, status = ''] = /^HTTP\/1\.1 (\d+)/.exec(chunk) ?? [];
      found[status] = (found[status] ?? 0) + 1;
      if (--left === 0) break;
      socket.write(request);
    }
  };
  await Promise.all(Array.from({ length: sockets }, (_, i) => reader(who[i % who.length] as Client)));
  return found;
}

/** A process whose event loop was blocked this long, in s, may have missed a message, so it drops its cache and reads once more. */
const STILL_S = 0.5;

/** @returns the number of processes that were blocked since the last call, which happens on a busy machine */
async function countStill(): Promise<number> {
  const lagOf = async (client: Client) => (await figuresOf(client))('nodejs_eventloop_lag_max_seconds');
  return (await Promise.all(anyone.map(lagOf))).filter((lag) => lag > STILL_S).length;
}

// Readers with a token, and readers of private records, pass admission: more of them at once would be refused.
const cases = [
  ['public, 10,000 connections', 'public', () => anyone, READERS],
  ['public, with a token, 200 connections', 'public', () => admin, 200],
  ['private, 200 connections', 'private', () => admin, 200],
] as const;

for (const [what, visibility, who, sockets] of cases) {
  row(
    7,
    what,
    async () => {
      const [owner] = admin as [Client];
      const { path, id } = await makeRecord(owner, await makeCollection(owner, visibility));
      const collection = path.replace(/\/records.*/, '');
      const figures: Figures = { readers: READERS, replicas: who().length };
      // Once before the first read, and once after expiry.
      for (const [when, waitMs] of [
        ['new', 0],
        ['expired', 1.15 * TTL_MS],
      ] as const) {
        await pause(waitMs);
        // The public record is read with nothing cached; in the other cases the collection is cached, and all wait for the record.
        if (sockets < READERS) for (const client of who()) must(200, await client.get(collection));
        await redis.command('FLUSHALL');
        const before = database.reads().get(id) ?? 0;
        await countStill();
        const begun = Date.now();
        // The tables stay locked while the readers arrive.
        const [answers] = await whileLocked(database, 'collections, records', 2000, () =>
          stampede(who(), path, sockets),
        );
        expect(answers).toEqual({ 200: READERS });
        const queries = (database.reads().get(id) ?? 0) - before;
        expect(queries).toBeGreaterThan(0);
        const still = await countStill();
        expect(queries).toBeLessThanOrEqual(who().length + still);
        Object.assign(figures, {
          ...(still > 0 ? { [`stood still when ${when}`]: still } : {}),
          [`queries when ${when}`]: queries,
          [`all answered when ${when} in`]: inMs(Date.now() - begun),
        });
      }
      return figures;
    },
    120_000,
  );
}
