import { AsyncLocalStorage } from 'node:async_hooks';
import { AdaptiveLimit, CALM_MS, type LimitOptions } from './adaptive-limit.js';

/** How often the limit is thought over, and those are refused who have waited too long. */
export const TICK_MS = 50;

export type Priority = 'write' | 'login' | 'read' | 'bulk';
/**
 * The request has ended; `dropped` when it was not finished, and not `tells` when how long it took says nothing. Later
 * calls do nothing.
 */
export type Leave = (dropped?: boolean, tells?: boolean) => void;

export interface AdmissionOptions extends LimitOptions {
  /** There are as many places to wait as should come free within this time. */
  queueMs: number;
  /** Who has waited so long is refused: it happens when the server stands still. */
  deadlineMs: number;
}

/** One who waits. */
export interface Waiting {
  readonly start: (leave: Leave) => void;
  readonly refuse: () => void;
  readonly since: number;
  /** The caller has gone: neither is called any more. Does nothing once one of them was. */
  cancel(): void;
}

/**
 * Requests of one priority. How much of the limit, and of the places to wait, may be in use when one more comes in:
 * @param ofAll by all
 * @param ofOwn by its own kind
 * @param tells its latency says how the server is
 */
function rank(ofAll: number, ofOwn: number, tells: boolean) {
  /** The longest waiting first. */
  const line = new Set<Waiting>();
  // The iterator goes along with the line: a new one would step over the gaps of all who have left.
  return { ofAll, ofOwn, tells, inFlight: 0, refused: { full: 0, late: 0 }, line, firsts: line.values() };
}
type Rank = ReturnType<typeof rank>;

/** May one more come in, where so many are in use of which a part is for it? One at least always is. */
const fits = (used: number, all: number, part: number) => used < Math.max(1, Math.floor(all * part));

/** Lets in as many requests as the server can work on, has some wait and refuses the others at once; each in O(1). */
export class Admission {
  /** Requests in hand. */
  inFlight = 0;
  private readonly adaptive: AdaptiveLimit;
  /** Who comes first. A login takes as long as its hash, bulk as long as its caller: that says nothing of the server. */
  private readonly ranks: Record<Priority, Rank> = {
    write: rank(1, 1, true),
    login: rank(1, 0.5, false),
    read: rank(0.9, 0.9, true),
    bulk: rank(0.9, 0.25, false),
  };
  private readonly inOrder = Object.values(this.ranks);
  private readonly timer = setInterval(() => this.tick(), TICK_MS).unref();
  private tickedAt: number;
  private isStarting = false;

  /** @param now a clock, in ms */
  constructor(
    private readonly options: AdmissionOptions,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.adaptive = new AdaptiveLimit(options);
    this.tickedAt = now();
  }

  /**
   * Calls one of the two once: `start` now or when there is room, `refuse` now or when it has waited too long.
   * Neither may throw.
   * @returns the one who waits, if it does
   */
  enter(priority: Priority, start: (leave: Leave) => void, refuse: () => void): Waiting | undefined {
    const rank = this.ranks[priority];
    if (this.hasRoom(rank)) return void this.begin(rank, start);
    if (fits(this.queued, this.places, rank.ofAll) && fits(rank.line.size, this.places, rank.ofOwn)) {
      // It is another one's end that starts it; what it does is still its own.
      const waiting = {
        start: AsyncLocalStorage.bind(start),
        refuse,
        since: this.now(),
        cancel: () => void rank.line.delete(waiting),
      };
      rank.line.add(waiting);
      return waiting;
    }
    rank.refused.full++;
    return void refuse();
  }

  /** How many requests may be in hand at the same time. */
  get limit(): number {
    return this.adaptive.value;
  }

  get queued(): number {
    return this.inOrder.reduce((sum, { line }) => sum + line.size, 0);
  }

  /** How many were refused since the start: for want of a place to wait, and after having waited in vain. */
  refused(priority: Priority): Readonly<Record<'full' | 'late', number>> {
    return this.ranks[priority].refused;
  }

  /** Its own timer calls this every TICK_MS; by how much too late is the event loop's delay. */
  tick(): void {
    const now = this.now();
    this.adaptive.update(Math.max(0, now - this.tickedAt - TICK_MS));
    this.tickedAt = now;
    for (const { line, refused } of this.inOrder) {
      for (const waiting of line) {
        if (now - waiting.since < this.options.deadlineMs) break;
        line.delete(waiting);
        refused.late++;
        waiting.refuse();
      }
    }
    this.startWaiting();
  }

  /** Stops the timer. The limit stays as it is. */
  close(): void {
    clearInterval(this.timer);
  }

  /** By Little's law, limit ÷ latency of them come free per ms while all of the limit is in use. */
  private get places(): number {
    return Math.ceil((this.limit * this.options.queueMs) / Math.max(this.adaptive.latency, CALM_MS));
  }

  private hasRoom({ inFlight, ofAll, ofOwn }: Rank): boolean {
    return fits(this.inFlight, this.limit, ofAll) && fits(inFlight, this.limit, ofOwn);
  }

  private begin(rank: Rank, start: (leave: Leave) => void): void {
    const since = this.now();
    let isInHand = true;
    this.inFlight++;
    rank.inFlight++;
    start((dropped = false, tells = rank.tells) => {
      if (!isInHand) return;
      isInHand = false;
      if (tells) this.adaptive.sample(this.now() - since, this.inFlight, dropped);
      this.inFlight--;
      rank.inFlight--;
      this.startWaiting();
    });
  }

  /** A loop, not a recursion: what is started may end within its start. */
  private startWaiting(): void {
    if (this.isStarting) return;
    this.isStarting = true;
    while (this.queued > 0) {
      const rank = this.inOrder.find((one) => one.line.size > 0 && this.hasRoom(one));
      if (!rank) break;
      const first = rank.firsts.next().value as Waiting;
      rank.line.delete(first);
      this.begin(rank, first.start);
    }
    this.isStarting = false;
  }
}
