/** Whether a request may pass. */
export interface Decision {
  admitted: boolean;
  /** Requests that may follow at once. */
  remaining: number;
  /** Whole seconds until one more may: after a refusal, a retry then is admitted. */
  reset: number;
}

/** What is known of one key. */
export interface Bucket {
  readonly key: string;
  /** The theoretical arrival time: when all that was admitted will have drained, in ms. */
  tat: number;
  /** Requests admitted here that the other replicas do not know of yet. */
  unsettled: number;
}

/** Keys in each of the two generations: some 20 MB when a flood fills both. */
const MAX_KEYS = 50_000;

/** A replica tells the others about a key when it has used this share of its limit since the last time. */
const SETTLED_SHARE = 1 / 20;

/** How many keys may wait to be settled. A key that finds no room is settled after its next request. */
const MAX_DUE = 1000;

/**
 * The generic cell rate algorithm, as virtual scheduling (ITU-T I.371, annex A): a whole quota may come at once, and then
 * drains evenly, so that in any time t no more than limit × (1 + t / window) are admitted.
 *
 * A key whose time has passed is as good as absent. Keys are kept in two generations: when the younger one is twice a
 * window old, nothing in the older one still counts, and it is dropped as a whole. A flood of new keys drops it sooner,
 * which forgives the keys that were unused for longest. Times are whole ms of a monotonic clock, and the interval is a
 * multiple of 1/1024 ms, so that no sum is rounded.
 */
export class Gcra {
  /** Ms that one request takes to drain, and ms that a whole quota takes. */
  readonly interval: number;
  readonly window: number;
  private cost: number;
  private readonly share: number;
  private young = new Map<string, Bucket>();
  private old = new Map<string, Bucket>();
  private turnedAt = 0;
  private readonly due = new Set<Bucket>();

  constructor(limit: number, windowMs: number) {
    this.share = Math.max(1, limit * SETTLED_SHARE);
    this.interval = Math.ceil((windowMs / limit) * 1024) / 1024;
    this.window = this.interval * limit;
    this.cost = this.interval;
  }

  /** From now on this process admits its share of each limit on its own, at least one request a window. */
  divideBy(replicas: number): void {
    this.cost = Math.min(this.interval * replicas, this.window);
  }

  /** @param count 1, or -1 to take one back */
  take(key: string, now: number, count: 1 | -1 = 1): Decision {
    const bucket = this.bucketOf(key, now);
    if (bucket.tat <= now) {
      bucket.tat = now;
      bucket.unsettled = 0;
    }
    const free = now + this.window - bucket.tat - count * this.cost;
    if (free >= 0) {
      bucket.tat += count * this.cost;
      bucket.unsettled += count;
      if (bucket.unsettled >= this.share && this.due.size < MAX_DUE) this.due.add(bucket);
    }
    return decide(free, this.cost);
  }

  /** The keys to tell the other replicas about, each once. */
  takeDue(): Bucket[] {
    const due = [...this.due];
    this.due.clear();
    return due;
  }

  /**
   * Takes over what all replicas have admitted together, which may be more than the limit.
   * @param level ms from now until all of it will have drained
   */
  adopt(bucket: Bucket, level: number, now: number): void {
    const all = Math.min(level + bucket.unsettled * this.interval, 2 * this.window);
    bucket.tat = Math.max(bucket.tat, now + all);
  }

  private bucketOf(key: string, now: number): Bucket {
    if (this.young.size >= MAX_KEYS || now - this.turnedAt >= 2 * this.window) {
      this.old = this.young;
      this.young = new Map();
      this.turnedAt = now;
    }
    const known = this.young.get(key);
    if (known) return known;
    const bucket = this.old.get(key) ?? { key, tat: now, unsettled: 0 };
    this.young.set(key, bucket);
    return bucket;
  }
}

/** @param free ms of the window that are left after the request; below zero, it does not fit */
export function decide(free: number, cost: number): Decision {
  return {
    admitted: free >= 0,
    remaining: Math.max(0, Math.floor(free / cost)),
    reset: Math.ceil((free >= 0 ? cost - (free % cost) : -free) / 1000),
  };
}
