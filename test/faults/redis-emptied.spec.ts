import { type AskedDatabase, createAskedDatabase } from '../support/asked-database.js';
import { makeCollection, makeRecord, must } from '../support/collections.js';
import { pause } from '../support/process.js';
import { type Replica, type Replicas, startReplicas, untilHeard, whileHeard } from '../support/replicas.js';
import { row } from '../support/row.js';

const KEYS = 100;
const READERS = 8;

let two: Replicas<AskedDatabase>;
beforeAll(async () => {
  // A process caches an answer for half a second, and then asks Redis, however slow the machine is.
  const settings = { CACHE_TTL_MS: '500', CACHE_STALE_MS: '0', REDIS_TIMEOUT_MS: '5000' };
  two = await startReplicas(settings, await createAskedDatabase());
}, 60_000);
afterAll(() => two?.close());

row(6, '', async () => {
  const owner = await two.user();
  const set = await makeCollection(owner);
  const records = await Promise.all(Array.from({ length: KEYS }, (_, n) => makeRecord(owner, set, { n })));
  const both = [two.here, two.there];
  return whileHeard(two, async () => {
    let isOver = false;
    let answers = 0;
    const reader = async ({ anyone }: Replica, first: number) => {
      for (let i = first; !isOver; i++, answers++) {
        const n = i % KEYS;
        expect(must(200, await anyone.get(records[n]?.path as string)).body.data.n).toBe(n);
      }
    };
    const readers = Array.from({ length: READERS }, (_, i) => reader(both[i % 2] as Replica, i * 13));
    // By then everything is in Redis, and each process trusts it.
    await untilHeard();
    await pause(2000);
    const before = two.database.reads();
    await pause(2000);
    const meanwhile = two.database.reads();
    await two.redis.command('FLUSHALL');
    const emptied = answers;
    await pause(4000);
    isOver = true;
    await Promise.all(readers);
    const after = two.database.reads();
    const since = (from: Map<string, number>, to: Map<string, number>) =>
      records.map(({ id }) => (to.get(id) ?? 0) - (from.get(id) ?? 0));
    const sum = (counts: number[]) => counts.reduce((all, one) => all + one, 0);
    const counts = since(meanwhile, after);
    // Otherwise Redis was not used, and the test would prove nothing.
    expect(sum(since(before, meanwhile))).toBeLessThan(KEYS / 10);
    expect(sum(counts)).toBeGreaterThanOrEqual(KEYS);
    expect(Math.max(...counts)).toBeLessThanOrEqual(both.length);
    return {
      keys: KEYS,
      replicas: both.length,
      answers: answers - emptied,
      queries: sum(counts),
      'most for a key': Math.max(...counts),
    };
  });
});
