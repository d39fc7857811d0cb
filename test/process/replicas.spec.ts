import { type AddressInfo, createServer } from 'node:net';
import { Client } from '../support/client.js';
import { freshName, type MadeCollection, makeCollection, makeRecord, must, until } from '../support/collections.js';
import { forward } from '../support/forwarder.js';
import { endPrograms, type Program, pause, productionSettings, startMain } from '../support/process.js';
import { TestRedis } from '../support/redis.js';
import { type Pair, startPair, type TestServer } from '../support/standby.js';

const LAG_MS = 2000;
const ADMIN = { email: 'admin@example.com', password: 'first-admin-of-the-tests' };

let pair: Pair;
let app: Program;
let anyone: Client;
let ada: Client;

const start = (replicaUrls: string, settings: Record<string, string> = {}) =>
  startMain({
    ...productionSettings(pair.primary.url),
    ADMIN_EMAIL: ADMIN.email,
    ADMIN_PASSWORD: ADMIN.password,
    DATABASE_REPLICA_URLS: replicaUrls,
    DATABASE_REPLICA_MAX_LAG_MS: String(LAG_MS),
    ...settings,
  });

beforeAll(async () => {
  pair = await startPair();
  app = start(pair.standby.url);
  anyone = new Client(await app.url());
  ada = await anyone.signIn(ADMIN.email, ADMIN.password);
}, 60_000);
afterAll(async () => {
  await endPrograms();
  await pair?.close();
});

/** The time at which the app last read records on a server. */
const lastRead = async (server: TestServer) =>
  (
    await server.query<{ at: Date | null }>(
      `SELECT max(query_start) AS at FROM pg_stat_activity WHERE application_name = 'floodgate' AND query ~ 'FROM records'`,
    )
  )[0]?.at?.getTime();

/** Whether the replica served this read. */
async function isFromReplica(ask: () => Promise<unknown>): Promise<boolean> {
  const before = await lastRead(pair.standby);
  await ask();
  return (await lastRead(pair.standby)) !== before;
}

const pauseReplay = () => pair.standby.query('SELECT pg_wal_replay_pause()');
const resumeReplay = () => pair.standby.query('SELECT pg_wal_replay_resume()');

const listed = async (who: Client, { records }: MadeCollection): Promise<number> =>
  must(200, await who.get(records)).body.items.length;
const counted = async (who: Client, { path }: MadeCollection): Promise<number> =>
  must(200, await who.get(`${path}/stats?bucket=day`)).body.total.count;
const exported = async (who: Client, { records }: MadeCollection): Promise<number> =>
  must(200, await who.get(`${records}/export`)).text.split('\n').length - 1;
const readings = [listed, counted, exported];

/** A collection with one record that the replica has and uses. */
async function settled(): Promise<MadeCollection> {
  const made = await makeCollection(ada, 'public', freshName());
  await makeRecord(ada, made);
  await until(async () => (await isFromReplica(() => listed(anyone, made))) && (await listed(anyone, made)) === 1);
  return made;
}

it('reads lists, statistics and exports on the replica, except for recent writers, and single things on the primary', async () => {
  const made = await settled();
  await pauseReplay();
  try {
    const { path } = await makeRecord(ada, made);
    for (const read of readings) {
      expect([read.name, await read(anyone, made)]).toEqual([read.name, 1]);
      expect([read.name, await read(ada, made)]).toEqual([read.name, 2]);
    }
    expect((await anyone.get(path)).status).toBe(200);
  } finally {
    await resumeReplay();
  }
});

it('lets a writer read on the primary for twice the lag, and then on the replica again', async () => {
  const made = await settled();
  await makeRecord(ada, made);
  const written = Date.now();
  while (Date.now() < written + 2 * LAG_MS - 200) {
    const began = Date.now();
    const isReplica = await isFromReplica(() => listed(ada, made));
    expect([began - written, isReplica]).toEqual([began - written, false]);
    await pause(200);
  }
  await until(() => isFromReplica(() => listed(ada, made)), 2);
});

it('stops using a replica that lags too far before its writers could miss anything, and later uses it again', async () => {
  const made = await settled();
  await pauseReplay();
  try {
    await makeRecord(ada, made);
    const written = Date.now();
    let leftOutAfter = 0;
    while (Date.now() < written + 2 * LAG_MS + 1500) {
      expect([Date.now() - written, await listed(ada, made)]).toEqual([expect.any(Number), 2]);
      if (leftOutAfter === 0 && (await listed(anyone, made)) === 2) leftOutAfter = Date.now() - written;
      await pause(50);
    }
    expect(leftOutAfter).toBeGreaterThan(LAG_MS - 200);
    expect(leftOutAfter).toBeLessThan(2 * LAG_MS);
    for (const read of readings) expect(await read(anyone, made)).toBe(2);
    expect(await isFromReplica(() => listed(anyone, made))).toBe(false);
    expect(app.stdout).toMatch(/replica at 127\.0\.0\.1:\d+ is left out: it is too far behind/);
  } finally {
    await resumeReplay();
  }
  await until(() => isFromReplica(() => listed(anyone, made)));
});

it('loses no request except a running export when a replica crashes, is away or returns', async () => {
  const made = await settled();
  let isOver = false;
  const failures: unknown[] = [];
  const answers = { listed: 0, counted: 0, exported: 0 };
  const readers = readings.map(async (read) => {
    while (!isOver) {
      const found = await read(anyone, made).catch((error) => failures.push([read.name, String(error)]) && undefined);
      if (found === 1) answers[read.name as keyof typeof answers]++;
      else if (found !== undefined) failures.push([read.name, found]);
      await pause(2);
    }
  });
  try {
    await pause(300);
    pair.standby.kill();
    await app.says(/is left out: (?!it is too far)/);
    const before = { ...answers };
    await pause(1500);
    for (const name of ['listed', 'counted', 'exported'] as const)
      expect(answers[name]).toBeGreaterThan(before[name] + 20);
  } finally {
    await pair.standby.restart();
    await until(() => isFromReplica(() => listed(anyone, made))).finally(() => {
      isOver = true;
    });
  }
  await Promise.all(readers);
  // An answer that was cut off in the middle cannot be repeated.
  expect(failures.slice(1)).toEqual([]);
  for (const failure of failures) expect(failure).toEqual(['exported', expect.stringMatching(/got 503|terminated/)]);
});

it('answers 200 or 503 while the primary is away, and normally when it is back', async () => {
  const made = await settled();
  await pair.primary.stop();
  try {
    for (const path of [made.records, `${made.path}/stats?bucket=day`, `${made.records}/export`, '/api/v1/data']) {
      for (let i = 0; i < 5; i++) expect([200, 503]).toContain((await anyone.get(path)).status);
    }
  } finally {
    await pair.primary.restart();
  }
  await until(async () => (await anyone.get(made.records)).status === 200);
  await until(() => isFromReplica(() => listed(anyone, made)));
});

it('is never slowed by a replica that does not answer, not even at the start, and uses another one beside it', async () => {
  let givenUp = 0;
  const silent = createServer((socket) => {
    socket
      .on('error', () => {})
      .on('close', () => givenUp++)
      .resume();
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => silent.once('listening', resolve));
  try {
    const made = await settled();
    const { port } = silent.address() as AddressInfo;
    const client = new Client(await start(`postgres://u:p@127.0.0.1:${port}/x,${pair.standby.url}`).url());
    // It serves before it has noticed.
    expect(givenUp).toBe(0);
    for (const end = Date.now() + 5000; Date.now() < end; await pause(20)) {
      const began = Date.now();
      for (const read of readings) expect(await read(client, made)).toBe(1);
      expect(Date.now() - began).toBeLessThan(1500);
    }
    expect(givenUp).toBeGreaterThan(0);
    expect(await isFromReplica(() => listed(client, made))).toBe(true);
  } finally {
    silent.close();
  }
});

it('lets a writer read on the primary at another process as well, even when the processes do not hear each other', async () => {
  const redis = await TestRedis.start();
  const toRedis = await forward(redis.url);
  try {
    const here = start(pair.standby.url, { REDIS_URL: redis.url });
    const there = start(pair.standby.url, { REDIS_URL: toRedis.url });
    const writer = new Client(await here.url(), ada.tokens);
    const reader = new Client(await there.url(), ada.tokens);
    const stranger = new Client(reader.url);
    const made = await settled();
    await until(() => isFromReplica(() => listed(stranger, made)));
    // Earlier writes no longer count.
    await pause(2 * LAG_MS + 500);
    await until(() => isFromReplica(() => listed(reader, made)));
    await pauseReplay();
    await makeRecord(writer, made);
    await pause(100);
    for (const read of readings) {
      expect([read.name, await read(stranger, made)]).toEqual([read.name, 1]);
      expect([read.name, await read(reader, made)]).toEqual([read.name, 2]);
    }
    await resumeReplay();
    await toRedis.cut();
    await pause(1000);
    const other = await settled();
    await pauseReplay();
    await makeRecord(writer, other);
    for (const read of readings) expect([read.name, await read(reader, other)]).toEqual([read.name, 2]);
  } finally {
    await resumeReplay();
    await toRedis.close();
    await redis.kill();
  }
}, 60_000);
