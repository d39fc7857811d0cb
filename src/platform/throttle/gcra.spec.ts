import fc from 'fast-check';
import { Gcra } from './gcra.js';

const limits = fc.record({
  limit: fc.integer({ min: 1, max: 50 }),
  windowMs: fc.integer({ min: 1, max: 100_000 }),
  replicas: fc.integer({ min: 1, max: 60 }),
});
/** Pauses between requests, many of them 0. */
const pauses = fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 20_000 })), { maxLength: 200 });

it('admits in any period no more than a whole quota plus the amount that drains meanwhile', () => {
  fc.assert(
    fc.property(limits, pauses, ({ limit, windowMs }, pauses) => {
      const gcra = new Gcra(limit, windowMs);
      let now = 0;
      const admitted: number[] = [];
      for (const pause of pauses) {
        now += pause;
        if (gcra.take('a', now).admitted) admitted.push(now);
      }
      const tooMany = admitted.flatMap((from, i) =>
        admitted.slice(i).filter((to, count) => count + 1 > limit + ((to - from) / windowMs) * limit),
      );
      expect(tooMany).toEqual([]);
    }),
  );
});

it('admits all requests within the rate, and a whole quota at once', () => {
  fc.assert(
    fc.property(limits, fc.array(fc.integer({ min: 0, max: 1000 })), ({ limit, windowMs }, pauses) => {
      const gcra = new Gcra(limit, windowMs);
      for (let i = limit - 1; i >= 0; i--) expect(gcra.take('a', 0)).toMatchObject({ admitted: true, remaining: i });
      expect(gcra.take('a', 0)).toMatchObject({ admitted: false, remaining: 0 });
      let now = 0;
      for (const pause of pauses) {
        now += Math.ceil(gcra.interval) + pause;
        expect(gcra.take('a', now).admitted).toBe(true);
      }
    }),
  );
});

it('says correctly how many requests may follow at once and when a retry is admitted, whatever its share of the limit', () => {
  fc.assert(
    fc.property(limits, pauses, ({ limit, windowMs, replicas }, pauses) => {
      const gcra = new Gcra(limit, windowMs);
      gcra.divideBy(replicas);
      let now = 0;
      for (const pause of pauses) {
        now += pause;
        const { admitted, remaining, reset } = gcra.take('a', now);
        for (let i = 0; i < remaining; i++) expect(gcra.take('a', now).admitted).toBe(true);
        if (admitted) expect(gcra.take('a', now).admitted).toBe(false);
        expect(Number.isInteger(reset)).toBe(true);
        // And not a second longer than needed.
        if (reset > 1) expect(gcra.take('a', now + (reset - 1) * 1000 - 1).admitted).toBe(false);
        now += reset * 1000;
        expect(gcra.take('a', now).admitted).toBe(true);
      }
    }),
  );
});

it('keeps keys apart, even while it forgets expired ones', () => {
  const gcra = new Gcra(2, 1000);
  for (let now = 0; now < 60_000; now += 500) {
    const key = `key ${now % 3000}`;
    for (const admitted of [true, true, false]) expect([now, gcra.take(key, now).admitted]).toEqual([now, admitted]);
  }
});

it('forgets no key that still counts when its generations turn', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 3000 }), { maxLength: 30 }), (pauses) => {
      const gcra = new Gcra(10, 1000);
      let now = 0;
      let left = 0;
      for (const pause of pauses) {
        left = Math.max(0, left - pause);
        now += pause;
        let admitted = 0;
        while (gcra.take('a', now).admitted) admitted++;
        expect(admitted).toBe(Math.floor((1000 - left) / 100));
        left += admitted * 100;
        gcra.take(`other ${now}`, now);
      }
    }),
  );
});

it('stays bounded under a flood of new keys, and still limits a caller who keeps coming', () => {
  const gcra = new Gcra(5, 3_600_000);
  const before = process.memoryUsage().heapUsed;
  let admitted = 0;
  for (let i = 0; i < 300_000; i++) {
    gcra.take(`flood ${i}`, i >> 10);
    if (i % 1000 === 0 && gcra.take('a', i >> 10).admitted) admitted++;
  }
  expect(admitted).toBe(5);
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(100_000_000);
});

it('takes a request back', () => {
  const gcra = new Gcra(2, 1000);
  gcra.take('a', 0);
  gcra.take('a', 0);
  gcra.take('a', 0, -1);
  expect([gcra.take('a', 0).admitted, gcra.take('a', 0).admitted]).toEqual([true, false]);
});

it('makes a key due for an exchange once it has used its share, and adds what other replicas have used', () => {
  const gcra = new Gcra(100, 100_000);
  for (let i = 0; i < 4; i++) gcra.take('a', 0);
  expect(gcra.takeDue()).toEqual([]);
  gcra.take('a', 0);
  gcra.take('a', 0);
  const [bucket, ...more] = gcra.takeDue();
  expect([bucket?.key, bucket?.unsettled, more]).toEqual(['a', 6, []]);
  expect(gcra.takeDue()).toEqual([]);
  if (!bucket) throw new Error('nothing is due');
  bucket.unsettled = 0;
  // Two more requests came while the shared sum was on its way.
  gcra.take('a', 0);
  gcra.take('a', 0);
  gcra.adopt(bucket, 90_000, 0);
  expect(gcra.take('a', 0).remaining).toBe(7);
  // A sum above the limit has to drain first.
  gcra.adopt(bucket, 150_000, 0);
  expect(gcra.take('a', 0)).toMatchObject({ admitted: false, reset: 54 });
});
