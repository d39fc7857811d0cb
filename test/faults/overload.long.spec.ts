import { makeCollection, must } from '../support/collections.js';
import { Crowd, type Kind, type Outcome } from '../support/open-loop.js';
import { expectUnharmed, pause } from '../support/process.js';
import { type Replicas, startReplicas } from '../support/replicas.js';
import { inMs, row } from '../support/row.js';
import { watchHeldMemory } from '../support/watch.js';

/** The delay in each direction, in ms. Ten connections then do about 450 queries a second. */
const FAR_MS = 10;
const RECORDS = 3000;
const SECONDS = 5;
/** The share of 256 MiB that the image gives to V8's old generation. */
const HEAP = { NODE_OPTIONS: '--max-old-space-size=102' };

let two: Replicas;
beforeAll(async () => {
  two = await startReplicas(HEAP);
}, 60_000);
afterAll(() => two?.close());

const part = (of: number, all: number) => `${Math.round((100 * of) / all)} %`;

/** Lists that are all different, so that each needs a query. */
async function lists(): Promise<Kind[]> {
  const owner = await two.user();
  const { records } = await makeCollection(owner);
  const lines = Array.from({ length: RECORDS }, (_, n) => JSON.stringify({ data: { n: n % 500 } })).join('\n');
  must(200, await owner.send('POST', `${records}/bulk`, lines, { 'content-type': 'application/x-ndjson' }));
  const paths = Array.from({ length: 500 }, (_, n) => `${records}?where=${encodeURIComponent(`{"n":${n}}`)}`);
  return [{ name: 'list', share: 1, paths }];
}

row(
  26,
  'a distant database',
  async () => {
    const { program, toDatabase, anyone } = two.here;
    const heldMemory = watchHeldMemory(program);
    const kinds = await lists();
    toDatabase.slow(FAR_MS);
    const crowd = new Crowd(anyone.url);
    const call = (perSecond: number, seconds = SECONDS) => crowd.call({ perSecond, seconds, kinds });
    try {
      await call(100, 2);
      let capacity = 0;
      for (const perSecond of [300, 400, 500, 600, 800]) {
        capacity = Math.max(capacity, (await call(perSecond, 2)).goodPerSecond);
      }
      // By then nothing is refused any more, and the number of requests at work is back to normal.
      await pause(5000);
      const normal = await call(0.8 * capacity);
      const twice = await call(2 * capacity);
      const ten = await call(10 * capacity);
      const ended = Date.now();
      let after: Outcome;
      do after = await call(0.8 * capacity, 2);
      while ((after.refused > 0 || after.p99 > 2 * normal.p99) && Date.now() < ended + 20_000);
      const normalAfterMs = Date.now() - ended;
      expectUnharmed(program);
      const figures = {
        capacity: `${Math.round(capacity)} /s`,
        'good at 2×': part(twice.goodPerSecond, capacity),
        'at 10×': part(ten.goodPerSecond, capacity),
        'p99 at 0.8×': inMs(normal.p99),
        'admitted at 2×': inMs(twice.p99),
        'admitted at 10×': inMs(ten.p99),
        'refused at 2×': inMs(twice.refusalP99),
        'refused at 10×': inMs(ten.refusalP99),
        'normal within': inMs(normalAfterMs),
        'held at most': `${Math.round(heldMemory())} MiB`,
        'lag of the callers': inMs(Math.max(normal.lagP99, twice.lagP99, ten.lagP99)),
      };
      expect([normal.refused, normal.others]).toEqual([0, {}]);
      expect([twice.others, ten.others]).toEqual([{}, {}]);
      expect(twice.goodPerSecond).toBeGreaterThan(0.8 * capacity);
      expect(ten.goodPerSecond).toBeGreaterThan(0.6 * capacity);
      expect(Math.max(twice.p99, ten.p99)).toBeLessThan(4 * normal.p99);
      expect(Math.max(twice.refusalP99, ten.refusalP99)).toBeLessThan(500);
      expect(normalAfterMs).toBeLessThan(10_000);
      // Of the 256 MiB of a pod, 40 are for the program's own pages.
      expect(heldMemory()).toBeLessThan(216);
      return figures;
    } finally {
      crowd.stop();
      toDatabase.slow(0);
    }
  },
  120_000,
);
