/** Below this no latency is a sign of overload, in ms: so long may a healthy server queue cheap requests. */
export const CALM_MS = 20;
/** Latency may be so many times the server's own before the limit shrinks. */
const TOLERANCE = 1.5;
/** The part of the way to its new value that the limit goes at once. */
const SMOOTHING = 0.4;
/** Windows in the average of the server's own latency, and how many at the smallest limit, where time is short. */
const LONG = 200;
const LONG_AT_MIN = 20;
/** Fewer samples say little: their window goes on, for so many updates at most. */
const FEW_SAMPLES = 10;
const LONGEST_WINDOW = 10;
/** The part of the limit from which on requests wait, or are about to: a little below the part that reads may use. */
const FULL = 0.8;

export interface LimitOptions {
  /** No fewer than the database connections, or some would stand idle in overload. */
  min: number;
  max: number;
  initial: number;
}

/**
 * How many requests may be in hand at the same time, found out from their latency after Netflix's Gradient2
 * (github.com/Netflix/concurrency-limits, Gradient2Limit): the limit shrinks by the ratio of a long average of the
 * latency to the last window's, and grows slowly while that ratio is good. What is different:
 * - The long average is to be the server's own latency: it rises only while less than half of the limit is used, or
 *   at the smallest limit. Learning from overload makes overload the norm.
 * - The limit grows only while latency is good, else it creeps up under steady overload (pull request 134 there).
 * - It does not shrink while nobody meets it: many callers who wait for their answers are slow because they are many.
 * - The event loop's delay counts as latency: so long does a request wait before anybody sees it.
 */
export class AdaptiveLimit {
  /** Mean latency in the last window, in ms. */
  latency = CALM_MS;
  private own = CALM_MS;
  private current: number;
  private sum = 0;
  private count = 0;
  private mostInFlight = 0;
  private loopDelay = 0;
  private updates = 0;

  constructor(private readonly options: LimitOptions) {
    this.current = options.initial;
  }

  get value(): number {
    return Math.floor(this.current);
  }

  /**
   * A request has ended.
   * @param inFlight how many were in hand, this one among them
   * @param dropped it was not finished: it would have taken at least this long
   */
  sample(rttMs: number, inFlight: number, dropped: boolean): void {
    if (inFlight > this.mostInFlight) this.mostInFlight = inFlight;
    if (dropped && rttMs < this.latency) return;
    this.sum += rttMs;
    this.count++;
  }

  /** Ends the window if it says enough. To be called at a steady pace, with the event loop's delay since the last call. */
  update(loopDelayMs: number): void {
    this.loopDelay = Math.max(this.loopDelay, loopDelayMs);
    if (++this.updates < LONGEST_WINDOW && this.count < FEW_SAMPLES) return;
    if (this.count > 0) this.adjust(Math.max(this.sum / this.count, this.loopDelay), this.mostInFlight);
    this.sum = this.count = this.mostInFlight = this.loopDelay = this.updates = 0;
  }

  private adjust(latency: number, inFlight: number): void {
    const { min, max } = this.options;
    const { current } = this;
    const isLittleUsed = inFlight < current / 2;
    const isLeast = current <= min;
    this.latency = latency;
    // What was learnt from a slow time is soon forgotten.
    if (this.own > 2 * latency) this.own *= 0.95;
    if (isLittleUsed || isLeast || latency < this.own) {
      this.own += (latency - this.own) / (isLeast ? LONG_AT_MIN : LONG);
    }
    if (isLittleUsed) return;
    const gradient = Math.max(0.5, (TOLERANCE * Math.max(this.own, CALM_MS)) / latency);
    if (gradient < 1 && inFlight < FULL * current) return;
    const wanted = gradient < 1 ? current * gradient : current + Math.max(4, current / 8);
    this.current = Math.max(min, Math.min(max, current + (wanted - current) * SMOOTHING));
  }
}
