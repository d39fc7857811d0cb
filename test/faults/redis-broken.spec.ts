import { createClient } from 'redis';
import { makeCollection, makeRecord, must, until } from '../support/collections.js';
import { pause } from '../support/process.js';
import { survive, untilRedis, WELL, WITHOUT } from '../support/redis-faults.js';
import { type Replicas, startReplicas, untilHeard, whileHeard } from '../support/replicas.js';
import { row } from '../support/row.js';

let two: Replicas;
beforeEach(async () => {
  // The processes cache hardly anything themselves: Redis is asked all the time, and its answers are awaited.
  two = await startReplicas({ CACHE_TTL_MS: '20', CACHE_STALE_MS: '0', REDIS_TIMEOUT_MS: '500' });
}, 60_000);
afterEach(() => two?.close());

const ways = () => [two.here.toRedis, two.there.toRedis];
/** The number of times that the reading process has lost Redis. */
const losses = () => two.there.program.stdout.split('Redis cannot be reached').length - 1;

row(5, 'reset in the middle of each reply', async () => {
  const RECORDS = 5;
  const owner = await two.user();
  const set = await makeCollection(owner);
  const make = (_: unknown, n: number) => makeRecord(owner, set, { n, text: 'x'.repeat(20_000) });
  const records = await whileHeard(two, async () => {
    const made = await Promise.all(Array.from({ length: RECORDS }, make));
    for (const { path } of made) must(200, await two.here.anyone.get(path));
    await pause(200);
    // A process whose event loop was just blocked does not put its reads into Redis.
    for (const { id } of made)
      expect(await two.redis.command('EVAL', `return #redis.call('KEYS', '*${id}*')`, '0')).toBe('1');
    return made;
  });
  let lost = 0;
  for (const [n, { path }] of records.entries()) {
    // It loses Redis only when it is cut off.
    expect(losses()).toBe(lost);
    await whileHeard(two, async () => {
      await untilRedis(WELL, two.there);
      // From here on it trusts the shared cache.
      await untilHeard();
      const before = losses();
      two.there.toRedis.cutAfter(10_000);
      const { body } = must(200, await two.there.anyone.get(path));
      expect([body.data.n, body.data.text.length]).toEqual([n, 20_000]);
      lost = before + 1;
      await until(async () => losses() === lost, 2);
    });
  }
  await untilHeard();
  for (const { anyone } of [two.here, two.there])
    for (const [n, { path }] of records.entries()) expect(must(200, await anyone.get(path)).body.data.n).toBe(n);
  return { replies: RECORDS, 'cut off': losses() };
});

row(5, 'reset under load', async () => {
  let timer: NodeJS.Timeout | undefined;
  let resets = 0;
  const cut = () => {
    for (const way of ways()) way.cutAfter(Math.floor(Math.random() * 500));
    resets += 2;
  };
  const figures = await survive(two, {
    begin: () => {
      timer = setInterval(cut, 50);
    },
    end: () => {
      clearInterval(timer);
      for (const way of ways()) way.cutAfter(Number.POSITIVE_INFINITY);
    },
  });
  return { ...figures, resets };
});

row(5, 'out of memory', async () => {
  const figures = await survive(two, {
    begin: async () => {
      await two.redis.command('CONFIG', 'SET', 'maxmemory-policy', 'noeviction');
      await two.redis.command('CONFIG', 'SET', 'maxmemory', '1mb');
    },
    end: () => two.redis.command('CONFIG', 'SET', 'maxmemory', '0'),
  });
  const refused = /errorstat_OOM:count=(\d+)/.exec(await two.redis.command('INFO', 'errorstats'))?.[1];
  expect(Number(refused)).toBeGreaterThan(10);
  return { ...figures, 'refused by Redis': Number(refused) };
});

row(5, 'it refuses every write, as a Redis replica', async () => {
  const figures = await survive(two, {
    begin: () => two.redis.command('REPLICAOF', '127.0.0.1', '1'),
    end: () => two.redis.command('REPLICAOF', 'NO', 'ONE'),
  });
  const refused = /errorstat_READONLY:count=(\d+)/.exec(await two.redis.command('INFO', 'errorstats'))?.[1];
  expect(Number(refused)).toBeGreaterThan(5);
  return { ...figures, 'refused by Redis': Number(refused) };
});

row(5, 'it answers only errors while it is busy with a script', async () => {
  await two.redis.command('CONFIG', 'SET', 'busy-reply-threshold', '100');
  return survive(two, {
    begin: () => {
      two.redis.command('EVAL', 'while true do end', '0').catch(() => {});
    },
    end: () => two.redis.command('SCRIPT', 'KILL'),
    meanwhile: () => Promise.all([two.here, two.there].map((one) => untilRedis(WITHOUT, one))),
  });
});

row(5, 'it accepts no more clients', async () => {
  // This client is connected, and will be the only one.
  const insider = createClient({ url: two.redis.url });
  await insider.connect();
  try {
    const figures = await survive(two, {
      begin: async () => {
        await insider.configSet('maxclients', '1');
        for (const way of ways()) way.reset();
      },
      end: () => insider.configSet('maxclients', '10000'),
    });
    // The app is refused and retries ever less often; otherwise the log would be full of it.
    expect(losses()).toBeLessThan(15);
    return { ...figures, 'times lost': losses() };
  } finally {
    insider.destroy();
  }
});
