import { AdaptiveLimit } from './adaptive-limit.js';

const create = (options = {}) => {
  const limit = new AdaptiveLimit({ min: 20, max: 1000, initial: 100, ...options });
  let now = 0;
  /** Some windows in which all requests take the same time, with `inHand` at work: by default the whole limit. */
  const windows = (count: number, latency: number, { inHand = 0, refuses = false, passMs = 50 } = {}) => {
    for (let done = 0; done < count; done++) {
      for (let sample = 0; sample < 10; sample++) limit.sample(latency, inHand || limit.value, false);
      if (refuses) limit.refuse();
      now += passMs;
      limit.update(now);
    }
  };
  return { limit, windows };
};
/** Normal load, during which the base latency is learnt. */
const QUIET = { inHand: 10 };
const REFUSING = { refuses: true };

it('grows to its maximum while it is used and latency is good', () => {
  const { limit, windows } = create();
  windows(10, 5);
  expect(limit.value).toBeGreaterThan(130);
  windows(200, 5);
  expect(limit.value).toBe(1000);
});

it('does not change while less than half of it is used', () => {
  const { limit, windows } = create();
  windows(100, 5, { inHand: 49 });
  expect(limit.value).toBe(100);
});

it('tolerates a higher latency while no request is refused', () => {
  const { limit, windows } = create();
  windows(20, 10, QUIET);
  windows(5, 100, { inHand: 45 });
  expect(limit.value).toBe(100);
  windows(5, 100, REFUSING);
  expect(limit.value).toBeLessThan(50);
  windows(10, 100, REFUSING);
  expect(limit.value).toBe(20);
});

it('shrinks at an extreme latency even if no request is refused', () => {
  const { limit, windows } = create();
  windows(20, 10, QUIET);
  windows(5, 500);
  expect(limit.value).toBeLessThan(50);
});

it('admits as many as keep the latency at 1.4 times the base latency', () => {
  const { limit, windows } = create();
  windows(20, 40, QUIET);
  // A server that works on one request a millisecond.
  for (let done = 0; done < 100; done++) windows(1, Math.max(40, limit.value), REFUSING);
  expect(limit.value).toBeGreaterThan(55);
  expect(limit.value).toBeLessThan(65);
});

it('does not learn the latency of an overload as the base latency', () => {
  const { limit, windows } = create();
  windows(20, 10, QUIET);
  for (let done = 0; done < 150; done++) windows(1, Math.max(10, limit.value / 4), REFUSING);
  expect(limit.own).toBeLessThan(11);
});

it('measures the base latency with few requests at work before its first refusals, and every 10 s', () => {
  const { limit, windows } = create();
  windows(1, 30, REFUSING);
  expect(limit.value).toBe(20);
  // Requests that came before are still slow.
  windows(3, 300, { inHand: 100, refuses: true });
  expect([limit.value, limit.own]).toEqual([20, 0]);
  windows(1, 30, REFUSING);
  expect(limit.own).toBe(30);
  windows(10, 30, REFUSING);
  expect(limit.value).toBeGreaterThan(100);
  windows(1, 30, { refuses: true, passMs: 10_000 });
  expect(limit.value).toBe(20);
});

it('returns to its initial value when no request is refused any more, whether it is used or not', () => {
  const { limit, windows } = create();
  windows(20, 10, QUIET);
  windows(20, 100, REFUSING);
  expect(limit.value).toBeLessThan(30);
  windows(60, 10, { inHand: 1 });
  expect(limit.value).toBeGreaterThanOrEqual(100);
});

it('counts an aborted request only if it had already taken longer than others', () => {
  const { limit, windows } = create();
  windows(20, 10, QUIET);
  for (let sample = 0; sample < 10; sample++) limit.sample(1, 10, true);
  windows(1, 10, QUIET);
  expect(limit.own).toBe(10);
  for (let sample = 0; sample < 10; sample++) limit.sample(1000, 10, true);
  windows(1, 10, QUIET);
  expect(limit.own).toBeGreaterThan(10);
});

it('waits for more than a few samples, but not for ever', () => {
  const { limit } = create();
  limit.sample(4000, 100, false);
  for (let update = 1; update < 10; update++) limit.update(update * 50);
  expect(limit.value).toBe(100);
  limit.update(500);
  expect(limit.value).toBeLessThan(100);
  const after = limit.value;
  for (let update = 0; update < 50; update++) limit.update(500);
  expect(limit.value).toBe(after);
});
