/** Latency may be so many times the server's own, or so many ms more, whichever is longer: while some have to be refused, */
const STRICT = { times: 1.4, marginMs: 5 };
/** and while nobody has to be. */
const CALM = { times: 4, marginMs: 100 };
/** The part of the way to its new value that the limit goes at once. */
const SMOOTHING = 0.4;
/** Windows in the average of the server's own latency, and how soon it has to be measured anew before anybody is refused by it. */
const LONG = 10;
const OLD_MS = 10_000;
/** Fewer samples say little: their window goes on, for so many updates at most. */
const FEW_SAMPLES = 10;
const LONGEST_WINDOW = 10;

export interface LimitOptions {
  /** So many do not wait for one another: no fewer than the database connections, or some would stand idle in overload. */
  min: number;
  max: number;
  initial: number;
}

/**
 * How many requests may be in hand at the same time, found out from their latency after Netflix's Gradient2
 * (github.com/Netflix/concurrency-limits): the limit follows the ratio of the latency that would be good to the last
 * window's. What is different:
 * - What is good is reckoned from the server's own latency, as it is with no more than `min` in hand, and never learnt from
 *   a server that is full: overload would become the norm. In an overload that lasts, the limit goes down to `min` for a
 *   moment every 10 s, and it is measured (as Envoy's adaptive concurrency does).
 * - While nobody is refused, a limit has no use but to bound bursts: many callers who wait for their answers are slow
 *   because they are many. Then it goes back to its initial value, and higher when it is used.
 * - Once somebody is, it keeps no more in hand than are needed for the same throughput.
 * The event loop's delay is part of the latency: who is in hand waits for the loop more than once.
 */
export class AdaptiveLimit {
  /** The server's own latency, in ms. */
  own = 0;
  private measuredAt = Number.NEGATIVE_INFINITY;
  private current: number;
  private readonly all = new Mean();
  /** Of those who came when few were in hand. */
  private readonly unhindered = new Mean();
  private mostInHand = 0;
  private updates = 0;
  private hasRefused = false;
  /** In the last window somebody had to be refused. */
  isStrict = false;

  constructor(private readonly options: LimitOptions) {
    this.current = options.initial;
  }

  get value(): number {
    return Math.floor(this.current);
  }

  /**
   * A request has ended.
   * @param inHand how many were when it came, this one among them
   * @param dropped it was not finished: it would have taken at least this long
   */
  sample(latencyMs: number, inHand: number, dropped: boolean): void {
    if (inHand > this.mostInHand) this.mostInHand = inHand;
    if (dropped && latencyMs < this.own) return;
    this.all.add(latencyMs);
    if (inHand <= this.options.min) this.unhindered.add(latencyMs);
  }

  /** Somebody had to be refused. */
  refuse(): void {
    this.hasRefused = true;
  }

  /** Ends the window if it says enough. To be called at a steady pace. */
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

  /** What it was, and begins anew. */
  take(): number {
    const mean = this.sum / this.count;
    this.sum = this.count = 0;
    return mean;
  }
}
