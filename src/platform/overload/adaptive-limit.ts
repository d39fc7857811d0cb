const E = (globalThis.process?.env ?? {}) as Record<string, string>;
/** Latency may be so many times the server's own while some are refused, or so much more, in ms, whichever is longer. */
const STRICT = { times: Number(E.TOL ?? 1.5), marginMs: Number(E.MARGIN ?? 5) };
const CALM = { times: 4, marginMs: 100 };
/** The part of the way to its new value that the limit goes at once. */
const SMOOTHING = 0.4;
/** Windows in the average of the server's own latency. */
const LONG = 10;
/** Fewer samples say little: their window goes on, for so many updates at most. */
const FEW_SAMPLES = 10;
const LONGEST_WINDOW = 10;
const MEASURE_MS = 10_000;

export interface LimitOptions {
  /** No fewer than the database connections, or some would stand idle in overload. */
  min: number;
  max: number;
  initial: number;
}

class Mean {
  private sum = 0;
  count = 0;
  add(value: number): void {
    this.sum += value;
    this.count++;
  }
  take(): number {
    const mean = this.sum / this.count;
    this.sum = this.count = 0;
    return mean;
  }
}

export class AdaptiveLimit {
  /** The server's own latency, and when it was last measured. */
  own = 0;
  measuredAt = Number.NEGATIVE_INFINITY;
  private current: number;
  private readonly all = new Mean();
  private readonly few = new Mean();
  private mostInHand = 0;
  private updates = 0;
  private isShort = false;

  constructor(private readonly options: LimitOptions) {
    this.current = options.initial;
  }

  get value(): number {
    return Math.floor(this.current);
  }

  sample(rttMs: number, inHand: number, dropped: boolean): void {
    if (inHand > this.mostInHand) this.mostInHand = inHand;
    if (dropped && rttMs < this.own) return;
    this.all.add(rttMs);
    if (inHand <= this.options.min) this.few.add(rttMs);
  }

  /** Somebody was refused. */
  refuse(): void {
    this.isShort = true;
  }

  update(now: number): void {
    if (++this.updates < LONGEST_WINDOW && this.all.count < FEW_SAMPLES) return;
    if (this.all.count > 0) this.adjust(now, this.all.take());
    this.isShort = false;
    this.mostInHand = this.updates = 0;
  }

  private adjust(now: number, latency: number): void {
    const { min, max, initial } = this.options;
    const { current, isShort, mostInHand } = this;
    const isOld = now - this.measuredAt > MEASURE_MS;
    if (this.few.count >= FEW_SAMPLES) {
      const own = this.few.take();
      this.own = isOld ? own : this.own + (own - this.own) / LONG;
      this.measuredAt = now;
    } else if (isShort && isOld) {
      this.current = min;
      return;
    }
    const { times, marginMs } = isShort ? STRICT : CALM;
    const good = Math.max(times * this.own, this.own + marginMs);
    const gradient = Math.max(0.5, Math.min(good / latency, 2));
    let wanted = current * gradient;
    if (!isShort && gradient >= 1) {
      wanted = mostInHand > current / 2 || current < initial ? current + Math.max(4, current / 8) : current;
    }
    this.current = Math.max(min, Math.min(max, current + (wanted - current) * SMOOTHING));
  }
}
