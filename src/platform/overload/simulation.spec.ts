import { Admission, type AdmissionOptions, TICK_MS } from './admission.js';

const OPTIONS: AdmissionOptions = { min: 10, max: 1000, initial: 400, waitMs: 500 };

/** Numbers in [0, 1), the same in every run (mulberry32). */
function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The outcome of the requests that ended within a period. */
interface Seen {
  answered: number;
  refused: number;
  perSecond: number;
  p50: number;
  p99: number;
  refusalP99: number;
}

/** A simulated server that works on a few requests at a time behind an admission; its time is in ms. */
class Simulation {
  now = 0;
  readonly admission: Admission;
  readonly random = chance(1);
  /** A factor for the service time. */
  slowness = 1;
  private readonly events: { at: number; run: () => void }[] = [];
  private readonly ended: { at: number; took: number; isAnswered: boolean }[] = [];
  private readonly queue: (() => void)[] = [];
  private busy = 0;

  constructor(
    private readonly servers: number,
    private readonly serviceMs: number,
    options: Partial<AdmissionOptions> = {},
  ) {
    this.admission = new Admission({ ...OPTIONS, ...options }, () => this.now);
    this.admission.close();
    const tick = () => {
      this.admission.tick();
      this.after(TICK_MS, tick);
    };
    this.after(TICK_MS, tick);
  }

  get capacityPerSecond(): number {
    return (this.servers / this.serviceMs) * 1000;
  }

  run(untilMs: number): void {
    for (let next = this.events[0]; next && next.at <= untilMs; next = this.events[0]) {
      this.pop();
      this.now = next.at;
      next.run();
    }
    this.now = untilMs;
  }

  /** An open workload: callers come whether or not others were answered. */
  open(perSecond: number, untilMs = Number.POSITIVE_INFINITY): void {
    const come = () => {
      if (this.now >= untilMs) return;
      this.request(() => {});
      this.after((-Math.log(1 - this.random()) * 1000) / perSecond, come);
    };
    come();
  }

  /** A closed workload: callers ask again once they are answered, and a second after a refusal. */
  closed(callers: number): void {
    for (let caller = 0; caller < callers; caller++) {
      const ask = () => this.request((isAnswered) => this.after(isAnswered ? 0 : 500 + 1000 * this.random(), ask));
      ask();
    }
  }

  seen(from: number, to: number): Seen {
    const ended = this.ended.filter(({ at }) => at >= from && at < to);
    const times = (isAnswered: boolean) =>
      ended
        .filter((one) => one.isAnswered === isAnswered)
        .map(({ took }) => took)
        .sort((a, b) => a - b);
    const [answered, refused] = [times(true), times(false)];
    const at = (sorted: number[], part: number) => sorted[Math.floor(sorted.length * part)] ?? 0;
    return {
      answered: answered.length,
      refused: refused.length,
      perSecond: answered.length / ((to - from) / 1000),
      p50: at(answered, 0.5),
      p99: at(answered, 0.99),
      refusalP99: at(refused, 0.99),
    };
  }

  private request(done: (isAnswered: boolean) => void): void {
    const since = this.now;
    const end = (isAnswered: boolean) => {
      this.ended.push({ at: this.now, took: this.now - since, isAnswered });
      done(isAnswered);
    };
    this.admission.enter(
      'read',
      (leave) =>
        this.work(() => {
          leave();
          end(true);
        }),
      () => end(false),
    );
  }

  private work(done: () => void): void {
    if (this.busy === this.servers) {
      this.queue.push(() => this.work(done));
      return;
    }
    this.busy++;
    const took = this.serviceMs * this.slowness * (0.5 + this.random());
    this.after(took, () => {
      this.busy--;
      this.queue.shift()?.();
      done();
    });
  }

  private after(ms: number, run: () => void): void {
    const { events } = this;
    let at = events.push({ at: this.now + ms, run }) - 1;
    for (let parent = (at - 1) >> 1; at > 0 && events[parent]!.at > events[at]!.at; parent = (at - 1) >> 1) {
      [events[parent], events[at]] = [events[at]!, events[parent]!];
      at = parent;
    }
  }

  private pop(): void {
    const { events } = this;
    const last = events.pop()!;
    if (events.length === 0) return;
    events[0] = last;
    for (let at = 0; ; ) {
      const [left, right] = [2 * at + 1, 2 * at + 2];
      let least = at;
      if (left < events.length && events[left]!.at < events[least]!.at) least = left;
      if (right < events.length && events[right]!.at < events[least]!.at) least = right;
      if (least === at) return;
      [events[at], events[least]] = [events[least]!, events[at]!];
      at = least;
    }
  }
}

const SERVERS = [
  ['10 at a time, 10 ms each', 10, 10],
  ['one at a time, 0.5 ms each', 1, 0.5],
  ['40 at a time, 25 ms each', 40, 25],
] as const;

describe.each(SERVERS)('a server that works on %s', (_name, servers, serviceMs) => {
  const simulate = () => new Simulation(servers, serviceMs);

  it('refuses no request at half of its capacity', () => {
    const server = simulate();
    server.open(server.capacityPerSecond / 2);
    server.run(10_000);
    expect(server.seen(0, 10_000).refused).toBe(0);
    expect(server.seen(0, 10_000).perSecond).toBeGreaterThan(0.45 * server.capacityPerSecond);
  });

  it('refuses none of 64 callers who wait for their answers', () => {
    const server = simulate();
    server.closed(64);
    server.run(10_000);
    expect(server.seen(0, 10_000).refused).toBe(0);
    expect(server.seen(0, 10_000).perSecond).toBeGreaterThan(0.97 * server.capacityPerSecond);
  });

  it.each([2, 10])('keeps its throughput and its latency at %d times its capacity', (times) => {
    const normal = simulate();
    normal.open(0.8 * normal.capacityPerSecond);
    normal.run(6000);
    const server = simulate();
    server.open(times * server.capacityPerSecond);
    server.run(6000);
    // It keeps working while it searches for its limit.
    expect(server.seen(0, 1000).perSecond).toBeGreaterThan(0.9 * server.capacityPerSecond);
    const { perSecond, p99, refusalP99 } = server.seen(1500, 6000);
    expect(perSecond).toBeGreaterThan(0.97 * server.capacityPerSecond);
    expect(p99).toBeLessThan(2 * normal.seen(1000, 6000).p99);
    expect(refusalP99).toBe(0);
  });

  it('does not learn a long overload as normal, and loses little by measuring again', () => {
    const server = simulate();
    server.open(2 * server.capacityPerSecond);
    server.run(40_000);
    expect(server.seen(5000, 40_000).perSecond).toBeGreaterThan(0.97 * server.capacityPerSecond);
    expect(server.seen(30_000, 40_000).p99).toBeLessThan(3 * serviceMs + 15);
  });

  it('recovers within 10 s of an overload', () => {
    const server = simulate();
    server.open(server.capacityPerSecond / 2);
    server.open(3 * server.capacityPerSecond, 10_000);
    server.run(25_000);
    const { refused, p99 } = server.seen(20_000, 25_000);
    expect(refused).toBe(0);
    expect(p99).toBeLessThan(2 * serviceMs + 2);
  });

  it('keeps working while the database is ten times as slow, and recovers within 10 s', () => {
    const server = simulate();
    server.open(server.capacityPerSecond / 2);
    server.run(10_000);
    server.slowness = 10;
    server.run(30_000);
    expect(server.seen(20_000, 30_000).perSecond).toBeGreaterThan(0.08 * server.capacityPerSecond);
    expect(server.seen(20_000, 30_000).refusalP99).toBeLessThan(20);
    server.slowness = 1;
    server.run(45_000);
    expect(server.seen(40_000, 45_000).refused).toBe(0);
    expect(server.seen(40_000, 45_000).p99).toBeLessThan(2 * serviceMs + 2);
  });
});

it('refuses none of 512 callers who wait for cheap answers', () => {
  for (const serviceMs of [0.05, 0.1]) {
    const server = new Simulation(1, serviceMs);
    server.closed(512);
    server.run(5000);
    expect(server.seen(0, 5000).refused).toBe(0);
    expect(server.seen(0, 5000).perSecond).toBeGreaterThan(0.97 * server.capacityPerSecond);
  }
});

it('keeps its throughput with 512 callers who send more requests than it can serve', () => {
  const server = new Simulation(10, 5);
  server.closed(512);
  server.run(10_000);
  expect(server.seen(1000, 10_000).perSecond).toBeGreaterThan(0.95 * server.capacityPerSecond);
  expect(server.seen(1000, 10_000).p99).toBeLessThan(120);
});
