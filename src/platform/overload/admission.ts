import { AdaptiveLimit, CALM_MS, type LimitOptions } from './adaptive-limit.js';

/** How often the limit is thought over, and those are refused who have waited too long. */
export const TICK_MS = 50;

export type Priority = 'write' | 'login' | 'read' | 'bulk';
/** The request has ended; `dropped` when it was not finished. Later calls do nothing. */
export type Leave = (dropped?: boolean) => void;

export interface AdmissionOptions extends LimitOptions {
  /** There are as many places to wait as should come free within this time. */
  queueMs: number;
  /** Who has waited so long is refused: it happens when the server stands still. */
  deadlineMs: number;
}

/** One who waits. */
export class Waiting {
  constructor(
    private readonly line: Set<Waiting>,
    readonly start: (leave: Leave) => void,
    readonly refuse: () => void,
    readonly since: number,
  ) {
    line.add(this);
  }

  /** The caller has gone: neither is called any more. Does nothing once one of them was. */
  cancel(): void {
    this.line.delete(this);
  }
}

/** Requests of one priority. */
class Rank {
  inFlight = 0;
  /** The longest waiting first. */
  readonly line = new Set<Waiting>();
  readonly refused = { full: 0, late: 0 };
  /** Goes along with the line: a new look for its first would step over the gaps of all who have left. */
  private readonly firsts = this.line.values();

  /**
   * How much of the limit, and of the places to wait, may be in use when one more comes in:
   * @param ofAll by all
   * @param ofOwn by its own kind
   * @param tells its latency says how the server is
   */
  constructor(
    readonly ofAll: number,
    readonly ofOwn: number,
    readonly tells: boolean,
  ) {}

  /** Takes the longest waiting out of the line, in which there must be one. */
  takeFirst(): Waiting {
    const first = this.firsts.next().value as Waiting;
    this.line.delete(first);
    return first;
  }
}

/** May one more come in, where so many are in use of which a part is for it? One at least always is. */
const fits = (used: number, all: number, part: number) => used < Math.max(1, Math.floor(all * part));

/** Lets in as many requests as the server can work on, has some wait and refuses the others at once; each in O(1). */
export class Admission {
  private readonly adaptive: AdaptiveLimit;
  /** Who comes first. A login takes as long as its hash, bulk as long as its caller: that says nothing of the server. */
  private readonly ranks: Record<Priority, Rank> = {
    write: new Rank(1, 1, true),
    login: new Rank(1, 0.5, false),
    read: new Rank(0.9, 0.9, true),
    bulk: new Rank(0.9, 0.25, false),
  };
  private readonly inOrder = Object.values(this.ranks);
  private readonly timer = setInterval(() => this.tick(), TICK_MS).unref();
  private used = 0;
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
    if (this.hasRoom(rank)) {
      this.begin(rank, start);
    } else if (fits(this.queued, this.places, rank.ofAll) && fits(rank.line.size, this.places, rank.ofOwn)) {
      return new Waiting(rank.line, start, refuse, this.now());
    } else {
      rank.refused.full++;
      refuse();
    }
    return undefined;
  }

  /** How many requests may be in hand at the same time. */
  get limit(): number {
    return this.adaptive.value;
  }

  get inFlight(): number {
    return this.used;
  }

  get queued(): number {
    const { write, login, read, bulk } = this.ranks;
    return write.line.size + login.line.size + read.line.size + bulk.line.size;
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
    return fits(this.used, this.limit, ofAll) && fits(inFlight, this.limit, ofOwn);
  }

  private begin(rank: Rank, start: (leave: Leave) => void): void {
    const since = this.now();
    let isInHand = true;
    this.used++;
    rank.inFlight++;
    start((dropped = false) => {
      if (!isInHand) return;
      isInHand = false;
      if (rank.tells) this.adaptive.sample(this.now() - since, this.used, dropped);
      this.used--;
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
      this.begin(rank, rank.takeFirst().start);
    }
    this.isStarting = false;
  }
}
