import type { Client } from '../support/client.js';
import { etagOf, makeCollection, makeRecord, must } from '../support/collections.js';
import { pause } from '../support/process.js';
import { type Replicas, startReplicas, untilHeard } from '../support/replicas.js';

/** With Redis well an answer takes some ms; this machine may be slow. */
const SLOWEST_MS = 2000;

let two: Replicas;
let owner: Client;
let records: { path: string; n: number; etag: string }[];
beforeAll(async () => {
  // Nothing is kept in the processes for long: Redis is asked all the time.
  two = await startReplicas({ CACHE_TTL_MS: '20', CACHE_STALE_MS: '0' });
  owner = await two.user();
}, 60_000);
beforeEach(async () => {
  const set = await makeCollection(owner);
  const make = async () => ({ ...(await makeRecord(owner, set, { n: 1, text: 'x'.repeat(20_000) })), n: 1 });
  records = await Promise.all(Array.from({ length: 60 }, make));
});
afterAll(() => two.close());

/** Reads on both processes and writes on one while something happens to Redis. @returns the slowest answer's time */
async function during(ms: number, happening: () => unknown): Promise<number> {
  const end = Date.now() + ms;
  let slowest = 0;
  let answers = 0;
  const timed = async <T>(work: Promise<T>): Promise<T> => {
    const begun = Date.now();
    const result = await work;
    slowest = Math.max(slowest, Date.now() - begun);
    answers++;
    return result;
  };
  const reader = async (client: Client, first: number) => {
    for (let i = first; Date.now() < end; i++) {
      const record = records[i % records.length] as (typeof records)[number];
      const { n } = record;
      const found = must(200, await timed(client.get(record.path))).body.data.n;
      // On the same process it is never older than when it was asked for.
      expect(found).toBeGreaterThanOrEqual(client.url === owner.url ? n : 1);
      expect(found).toBeLessThanOrEqual(n + 1);
    }
  };
  const writer = async () => {
    for (let i = 0; Date.now() < end; i++) {
      const record = records[i % records.length] as (typeof records)[number];
      const change = owner.patch(record.path, { data: { n: record.n + 1 } }, { 'if-match': record.etag });
      record.etag = etagOf(must(200, await timed(change)));
      record.n++;
      await pause(20);
    }
  };
  const clients = [two.here.anyone, two.there.anyone, owner];
  const work = [...clients, ...clients].map((client, i) => reader(client, 10 * i));
  await Promise.all([...work, writer(), pause(ms / 4).then(happening)]);
  expect(answers).toBeGreaterThan(50);
  return slowest;
}

/** What there is at last, on both. */
async function expectSettled(): Promise<void> {
  await untilHeard();
  for (const { path, n } of records)
    for (const { anyone } of [two.here, two.there]) expect(must(200, await anyone.get(path)).body.data.n).toBe(n);
}

/** What readiness and the metrics say of Redis. */
async function said() {
  const { status, body } = await two.here.anyone.get('/health/ready');
  const up = /^redis_up (\S+)$/m.exec((await two.here.anyone.get('/metrics')).text)?.[1];
  return [status, body.status, body.checks.redis.status, up];
}

describe('no request fails, and none gets what is not so,', () => {
  it('when Redis is emptied, again and again', async () => {
    await during(3000, async () => {
      for (let i = 0; i < 20; i++) {
        await two.redis.command('FLUSHALL');
        await pause(50);
      }
    });
    await expectSettled();
  }, 60_000);

  it('when Redis stands still, and none waits for it', async () => {
    const slowest = await during(5000, async () => {
      two.redis.signal('SIGSTOP');
      await pause(2500);
      two.redis.signal('SIGCONT');
    });
    expect(slowest).toBeLessThan(SLOWEST_MS);
    await expectSettled();
  }, 60_000);

  it('when Redis dies and comes back empty', async () => {
    const slowest = await during(5000, async () => {
      expect(await said()).toEqual([200, 'ok', 'up', '1']);
      await two.redis.kill();
      await pause(2000);
      expect(await said()).toEqual([200, 'degraded', 'down', '0']);
      await two.redis.start();
    });
    expect(slowest).toBeLessThan(SLOWEST_MS);
    await untilHeard();
    expect(await said()).toEqual([200, 'ok', 'up', '1']);
    await expectSettled();
  }, 60_000);

  it('when Redis has no room for anything', async () => {
    await two.redis.command('CONFIG', 'SET', 'maxmemory-policy', 'noeviction');
    await two.redis.command('CONFIG', 'SET', 'maxmemory', '2mb');
    await during(4000, () => {});
    expect(await two.redis.command('INFO', 'errorstats')).toMatch(/errorstat_OOM/);
    await expectSettled();
  }, 60_000);
});
