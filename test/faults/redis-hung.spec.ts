import { makeCollection, makeRecord, must, until } from '../support/collections.js';
import { pause } from '../support/process.js';
import { type RedisFault, survive, untilRedis, WELL, WITHOUT } from '../support/redis-faults.js';
import { type Replica, type Replicas, startReplicas } from '../support/replicas.js';
import { inMs, row } from '../support/row.js';

let two: Replicas;
afterEach(() => two?.close());

const both = () => [two.here, two.there];
/** Waits until the breakers are open, long before the connections are given up. */
const bothAreWithout = (mostMs = 2500) => Promise.all(both().map((one) => untilRedis(WITHOUT, one, mostMs)));

/** Both replicas survive that Redis stops answering, or answers later than they wait. */
async function surviveBoth(fault: RedisFault) {
  // The processes cache hardly anything themselves: Redis is asked all the time.
  two = await startReplicas({ CACHE_TTL_MS: '20', CACHE_STALE_MS: '0' });
  return survive(two, { ...fault, meanwhile: () => bothAreWithout() });
}

row(3, '', () => surviveBoth({ begin: () => two.redis.signal('SIGSTOP'), end: () => two.redis.signal('SIGCONT') }));

row(4, '', () =>
  surviveBoth({
    begin: () => both().map(({ toRedis }) => toRedis.slow(1000)),
    end: () => both().map(({ toRedis }) => toRedis.slow(0)),
  }),
);

row(3, 'its packets are lost for good on the open connections', async () => {
  two = await startReplicas();
  for (const { toRedis } of both()) toRedis.lose();
  await bothAreWithout();
  const lost = Date.now();
  await Promise.all(both().map((one) => untilRedis(WELL, one, 10_000)));
  const backMs = Date.now() - lost;
  // Messages arrive again, too: the shared cache is trusted.
  const owner = await two.user();
  const set = await makeCollection(owner);
  const isKept = async () => {
    const { path } = await makeRecord(owner, set);
    must(200, await two.here.anyone.get(path));
    return (await two.redis.command('EXISTS', `floodgate1:${path}`)) === '1';
  };
  await until(isKept, 10);
  return { 'on new ones in': inMs(backMs) };
});

row(3, 'one request at a time probes whether it is back, and the others do not wait', async () => {
  const TIMEOUT_MS = 1000;
  const CALLERS = 32;
  two = await startReplicas({ REDIS_TIMEOUT_MS: String(TIMEOUT_MS) });
  let isOver = false;
  const times: { begun: number; ms: number }[] = [];
  const caller = async ({ anyone }: Replica) => {
    while (!isOver) {
      const begun = Date.now();
      // The limit on refreshes is kept in Redis.
      must(401, await anyone.post('/api/v1/auth/refresh', { refreshToken: 'nobody' }));
      times.push({ begun, ms: Date.now() - begun });
      await pause(20);
    }
  };
  two.redis.signal('SIGSTOP');
  const callers = Array.from({ length: CALLERS }, (_, i) => caller(both()[i % 2] as Replica));
  let open = 0;
  try {
    await bothAreWithout(5 * TIMEOUT_MS);
    open = Date.now();
    await pause(4000);
  } finally {
    isOver = true;
    await Promise.allSettled(callers);
  }
  await Promise.all(callers);
  two.redis.signal('SIGCONT');
  await Promise.all(both().map((one) => untilRedis(WELL, one)));
  const slowest = Math.max(...times.map(({ ms }) => ms));
  const waited = times.filter(({ begun, ms }) => begun > open && ms > 0.9 * TIMEOUT_MS);
  // One probe on each process, and a pause after it.
  expect(waited.length).toBeLessThan(CALLERS / 2);
  expect(slowest).toBeLessThan(3 * TIMEOUT_MS);
  return { answers: times.length, 'waited for it': waited.length, slowest: inMs(slowest) };
});
