/** How far latency may exceed the base latency while requests are refused: by a factor or in ms, whichever is more. */
const STRICT = { times: 1.4, marginMs: 5 };
/** The same while no request is refused. */
const CALM = { times: 4, marginMs: 100 };
/** How much of the way to its new value the limit goes in one step. */
const SMOOTHING = 0.4;
/** Windows in the moving average of the base latency. */
const LONG = 10;
/** While requests are refused, an older base latency is measured again. */
const OLD_MS = 10_000;
/** A window with fewer samples goes on, but for LONGEST_WINDOW updates at most. */
const FEW_SAMPLES = 10;
const LONGEST_WINDOW = 10;

export interface LimitOptions {
  /** So many need not wait for one another: at least the database connections, or some would be idle in overload. */
  min: number;
  max: number;
  initial: number;
}

/**
 * How many requests may be at work at the same time, derived from their latency after Netflix's Gradient2
 * (github.com/Netflix/concurrency-limits): the limit follows the ratio of the target latency to the last window's.
 * There are these differences:
 * - The target comes from the base latency, which is measured with no more than `min` requests at work and never while
 *   the server is full, or overload would become the norm. In a lasting overload the limit goes down to `min` for a
 *   moment every 10 s to measure it again, as Envoy's adaptive concurrency does.
 * - While no request is refused, the limit only bounds bursts, since many waiting callers raise the latency by their
 *   number alone. It returns to its initial value then, and rises further when it is used.
 * - Once requests are refused, it admits only as many as are needed for the same throughput.
 * The event loop's delay is part of the latency, since a request waits for the loop more than once.
 */
export class AdaptiveLimit {
  /** The base latency in ms: the server's own, without waiting for other requests. */
  own = 0;
  private measuredAt = Number.NEGATIVE_INFINITY;
  private current: number;
  private readonly all = new Mean();
  /** The latency of requests that came when `min` or fewer were at work. */
  private readonly unhindered = new Mean();
  private mostInHand = 0;
  private updates = 0;
  private hasRefused = false;
  /** Whether requests were refused in the last window. */
  isStrict = false;

  constructor(private readonly options: LimitOptions) {
    this.current = options.initial;
  }

  get value(): number {
    return Math.floor(this.current);
  }

  /**
   * Counts a request that has ended.
   * @param inHand how many were at work when it came, including itself
   * @param dropped whether it was aborted, so that it would have taken at least this long
   */
  sample(latencyMs: number, inHand: number, dropped: boolean): void {
    if (inHand > this.mostInHand) this.mostInHand = inHand;
    if (dropped && latencyMs < this.own) return;
    this.all.add(latencyMs);
    if (inHand <= this.options.min) this.unhindered.add(latencyMs);
  }

  /** Counts a refused request. */
  refuse(): void {
    this.hasRefused = true;
  }

  /** Ends the window if it has enough samples. Must be called at a steady pace. */
  update(now: number): void {
    if (++this.updates < LONGEST_WINDOW && this.all.count < FEW_SAMPLES) return;
    this.isStrict = this.hasRefused;
    if (this.all.count > 0) this.adjust(now, this.all.take());
    this.hasRefused = false;
    this.mostInHand = this.updates = 0;
  }

  private adjust(now: number, latency: number): void {
    const { min, max, initial } = this.options;
    const isOld = now - this.measuredAt > OLD_MS;
    if (this.unhindered.count >= FEW_SAMPLES) {
      const own = this.unhindered.take();
      this.own += (own - this.own) / (isOld ? 1 : LONG);
      this.measuredAt = now;
    } else if (this.isStrict && isOld) {
      this.current = min;
      return;
    }
    const { times, marginMs } = this.isStrict ? STRICT : CALM;
    const gradient = Math.max(times * this.own, this.own + marginMs) / latency;
    let wanted = this.current * Math.max(0.5, Math.min(gradient, 2));
    if (!this.isStrict && gradient >= 1) {
      const isUsed = this.mostInHand > this.current / 2;
      wanted = isUsed || this.current < initial ? this.current + Math.max(4, this.current / 8) : this.current;
    }
    this.current = Math.max(min, Math.min(max, this.current + (wanted - this.current) * SMOOTHING));
  }
}

class Mean {
  count = 0;
  private sum = 0;

  add(value: number): void {
    this.sum += value;
    this.count++;
  }

  /** Returns the mean, and starts a new one. */
  take(): number {
    const mean = this.sum / this.count;
    this.sum = this.count = 0;
    return mean;
  }
}
