import { Client } from '../support/client.js';
import { etagOf, makeCollection, makeRecord, must, until } from '../support/collections.js';
import { createDatabase } from '../support/database.js';
import { forward } from '../support/forwarder.js';
import { endPrograms, pause, productionSettings, startMain } from '../support/process.js';
import { TestRedis } from '../support/redis.js';
import { survive, untilRedis, WELL, WITHOUT } from '../support/redis-faults.js';
import { type Sentinels, startSentinels } from '../support/redis-group.js';
import { type Replicas, startReplicas, untilHeard } from '../support/replicas.js';
import { inMs, row } from '../support/row.js';

/** Of the second that is promised; the rest is for a slow machine. */
const BOUND_MS = 3000;
/** The Sentinels take a second to find a primary dead, and some more to agree on another one. */
const FAILOVER_MS = 30_000;
/** No process reads in Redis what was changed so short a time ago; the rest is for a slow machine. */
const UNREAD_MS = 6000;

let sentinels: Sentinels | undefined;
let two: Replicas | undefined;
afterEach(async () => {
  await two?.close();
  await sentinels?.close();
  two = undefined;
  sentinels = undefined;
});

const both = ({ here, there }: Replicas) => [here, there];

/** Both processes are without Redis, and then with it again. @returns how long the second took, milliseconds */
async function untilBack(replicas: Replicas): Promise<number> {
  await Promise.all(both(replicas).map((one) => untilRedis(WITHOUT, one, FAILOVER_MS)));
  return Math.max(...(await Promise.all(both(replicas).map((one) => untilRedis(WELL, one, FAILOVER_MS)))));
}

/** Waits until what is read is put where all share it. */
async function untilShared(replicas: Replicas, redis: () => Promise<TestRedis>): Promise<number> {
  const begun = Date.now();
  const owner = await replicas.user();
  const set = await makeCollection(owner);
  await until(async () => {
    const { path } = await makeRecord(owner, set);
    must(200, await replicas.here.anyone.get(path));
    return (await (await redis()).command('EXISTS', `floodgate1:${path}`)) === '1';
  }, 20);
  return Date.now() - begun;
}

row(
  52,
  'the primary under Sentinels is killed',
  async () => {
    const group = await startSentinels();
    sentinels = group;
    const [first] = group.ports;
    // One address leads nowhere.
    const url = group.url.replace(`:${first},`, ':1,');
    const replicas = await startReplicas({ REDIS_URL: url, CACHE_TTL_MS: '20', CACHE_STALE_MS: '0' });
    two = replicas;
    for (const one of both(replicas)) {
      await untilRedis(WELL, one);
      expect(one.program.stdout).toMatch(/Redis at 127\.0\.0\.1:1 cannot be used: .*ECONNREFUSED/);
    }
    const old = await group.primary();
    let backMs = 0;
    const figures = await survive(replicas, {
      boundMs: BOUND_MS,
      begin: () => old.kill(),
      meanwhile: async () => {
        backMs = await untilBack(replicas);
      },
      end: () => {},
    });
    expect(await group.primary()).not.toBe(old);
    const sharedMs = await untilShared(replicas, () => group.primary());
    // The old primary comes back, and becomes a replica.
    await old.start();
    await until(async () => (await old.command('ROLE')).startsWith('slave'), 20);
    for (const one of both(replicas)) await untilRedis(WELL, one);
    return { ...figures, 'with the new primary in': inMs(backMs), 'shared again in': inMs(sharedMs) };
  },
  120_000,
);

row(
  52,
  'the primary under Sentinels with a password stands still',
  async () => {
    const group = await startSentinels('the-password-of-redis');
    sentinels = group;
    const replicas = await startReplicas({ REDIS_URL: group.url });
    two = replicas;
    for (const one of both(replicas)) await untilRedis(WELL, one);
    const old = await group.primary();
    let backMs = 0;
    const figures = await survive(replicas, {
      boundMs: BOUND_MS,
      begin: () => old.signal('SIGSTOP'),
      meanwhile: async () => {
        backMs = await untilBack(replicas);
      },
      end: () => old.signal('SIGCONT'),
    });
    expect(await group.primary()).not.toBe(old);
    return { ...figures, 'with the new primary in': inMs(backMs) };
  },
  120_000,
);

row(
  52,
  'the new primary lacks the last changes of the old one',
  async () => {
    const old = await TestRedis.start();
    const copying = await forward(old.url);
    const copy = await TestRedis.start('--replicaof', `127.0.0.1 ${new URL(copying.url).port}`);
    try {
      const url = `redis://127.0.0.1:${old.port},127.0.0.1:${copy.port}`;
      const replicas = await startReplicas({ REDIS_URL: url, CACHE_TTL_MS: '1000', CACHE_STALE_MS: '0' });
      two = replicas;
      for (const one of both(replicas)) await untilRedis(WELL, one);
      const owner = await replicas.user();
      const set = await makeCollection(owner);
      const key = (path: string) => `floodgate1:${path}`;
      const made = await Promise.all(Array.from({ length: 20 }, () => makeRecord(owner, set, { n: 0 })));
      for (const { path } of made) must(200, await replicas.there.anyone.get(path));
      const copied = async () => (await copy.command('EXISTS', ...made.map(({ path }) => key(path)))) === '20';
      await until(copied, 10);
      copying.hold('everything');
      for (const { path, etag } of made)
        etagOf(must(200, await owner.patch(path, { data: { n: 1 } }, { 'if-match': etag })));
      const changed = Date.now();
      await old.kill();
      await copy.command('REPLICAOF', 'NO', 'ONE');
      const stale = await copy.command('EXISTS', ...made.map(({ path }) => key(path)));
      expect(stale).toBe('20');
      await Promise.all(both(replicas).map((one) => untilRedis(WELL, one, FAILOVER_MS)));
      await untilHeard();
      // For so long, no process would read them there in any case.
      await pause(UNREAD_MS - (Date.now() - changed));
      const readers: Client[] = both(replicas).map(({ anyone }) => anyone);
      for (const { path } of made)
        for (const reader of readers) expect(must(200, await reader.get(path)).body.data.n).toBe(1);
      return { 'old values in the new primary': Number(stale), 'of them answered': 0 };
    } finally {
      await copying.close();
      await copy.kill();
      await old.kill();
    }
  },
  120_000,
);

it('says what REDIS_URL has to be, where it leads to a Sentinel', async () => {
  const group = await startSentinels();
  sentinels = group;
  const database = await createDatabase();
  try {
    const program = startMain({
      ...productionSettings(database.url),
      REDIS_URL: `redis://127.0.0.1:${group.ports[0]}`,
    });
    await untilRedis(WITHOUT, { anyone: new Client(await program.url()) });
    expect(program.stdout).toContain('it is one for which REDIS_URL begins with redis+sentinel://');
  } finally {
    await endPrograms();
    await database.drop();
  }
}, 60_000);
