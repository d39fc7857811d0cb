import { AdaptiveLimit, CALM_MS } from './adaptive-limit.js';

const create = (options = {}) => new AdaptiveLimit({ min: 20, max: 1000, initial: 100, ...options });

/** Some windows in which all requests take the same time, with so many in hand; all of the limit unless said. */
function windows(limit: AdaptiveLimit, count: number, rttMs: number, inFlight?: number, loopDelayMs = 0): void {
  for (let done = 0; done < count; done++) {
    for (let sample = 0; sample < 10; sample++) limit.sample(rttMs, inFlight ?? limit.value, false);
    limit.update(loopDelayMs);
  }
}

it('grows to its maximum while it is used and latency is good', () => {
  const limit = create();
  windows(limit, 10, 5);
  expect(limit.value).toBeGreaterThan(130);
  windows(limit, 200, 5);
  expect(limit.value).toBe(1000);
});

it('stays as it is while less than half of it is used, be it fast or slow', () => {
  const limit = create();
  windows(limit, 100, 5, 49);
  windows(limit, 5, 500, 49);
  expect(limit.value).toBe(100);
});

it('shrinks to its minimum while latency is far above what it was', () => {
  const limit = create();
  windows(limit, 5, 200);
  expect(limit.value).toBeLessThan(50);
  windows(limit, 10, 200);
  expect(limit.value).toBe(20);
});

it('does not shrink while nobody meets it, nor below a latency that is no sign of overload', () => {
  const limit = create();
  windows(limit, 100, 200, 60);
  expect(limit.value).toBe(100);
  windows(limit, 500, 1, 10);
  windows(limit, 5, CALM_MS);
  expect(limit.value).toBeGreaterThanOrEqual(100);
});

it('shrinks when the event loop is late as it does when requests are', () => {
  const [limit, other] = [create(), create()];
  windows(limit, 5, 5, undefined, 200);
  windows(other, 5, 200);
  expect(limit.value).toBe(other.value);
  expect(limit.value).toBeLessThan(50);
});

it("takes for the server's own the latency that it has while little is asked of it", () => {
  const limit = create();
  windows(limit, 1000, 200, 10);
  windows(limit, 5, 200);
  expect(limit.value).toBeGreaterThan(100);
});

it('does not take the latency of an overload for its own', () => {
  const limit = create();
  for (let done = 0; done < 2000; done++) windows(limit, 1, limit.value / 2);
  expect(limit.value).toBeLessThan(80);
});

it('comes up from its minimum when a latency that stays there is the new norm', () => {
  const limit = create();
  windows(limit, 100, 100);
  expect(limit.value).toBeGreaterThan(60);
});

it('forgets a slow time soon', () => {
  const limit = create();
  windows(limit, 1000, 500, 10);
  windows(limit, 100, 10, 10);
  windows(limit, 2, 100);
  expect(limit.value).toBeLessThan(100);
});

it('counts a request that was dropped only when it had already taken longer than others', () => {
  const limit = create();
  windows(limit, 1, 10);
  for (let sample = 0; sample < 10; sample++) limit.sample(1, 10, true);
  windows(limit, 1, 10, 10);
  expect(limit.latency).toBe(10);
  for (let sample = 0; sample < 10; sample++) limit.sample(1000, 10, true);
  limit.update(0);
  expect(limit.latency).toBe(1000);
});

it('decides nothing on a few samples, but in the end on any', () => {
  const limit = create();
  limit.sample(400, 100, false);
  for (let update = 1; update < 10; update++) limit.update(0);
  expect(limit.value).toBe(100);
  limit.update(0);
  expect(limit.value).toBeLessThan(100);
  const after = limit.value;
  for (let update = 0; update < 50; update++) limit.update(1000);
  expect(limit.value).toBe(after);
});
