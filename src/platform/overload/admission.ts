import { AsyncLocalStorage } from 'node:async_hooks';
import { AdaptiveLimit, type LimitOptions } from './adaptive-limit.js';
import { ReadPause, type Refused } from './read-pause.js';

/** How often the limit is updated, and requests are refused that have waited too long. */
export const TICK_MS = 50;

/** How long the queue may be, in percent of the limit. It is half as long while requests are refused, so that waits stay short. */
const WAITING_PERCENT = 50;

export type Priority = 'write' | 'login' | 'read' | 'bulk' | 'listen';
/**
 * Ends a request, once: later calls do nothing. `dropped` says that it was not finished, and `tells` whether its latency
 * says something about the server.
 */
export type Leave = (dropped?: boolean, tells?: boolean) => void;

export interface AdmissionOptions extends LimitOptions {
  /** A request that has waited this long is refused, which happens when the server stands still. */
  waitMs: number;
}

/** A request in the queue. */
export interface Waiting {
  readonly start: (leave: Leave) => void;
  readonly refuse: () => void;
  readonly since: number;
  /** Takes it out of the queue when its caller has gone. @returns false once it was started or refused */
  cancel(): boolean;
}

/** How many requests are at work and in the queue, for priorities that share a limit. */
interface Places {
  inHand: number;
  waiting: number;
}
const places = (): Places => ({ inHand: 0, waiting: 0 });

/**
 * The state of one priority.
 * @param of the places it shares with other priorities
 * @param part the share of these places that may be in use when one more request comes in, 0 to 1
 * @param tells whether latencies of this priority say something about the server
 */
function rank(of: Places, part: number, tells: boolean) {
  /** The longest waiting first. */
  const line = new Set<Waiting>();
  // One iterator for the set's whole life: a new one would step over the gaps of all entries that were deleted.
  return { of, part, tells, refused: { full: 0, late: 0 }, line, firsts: line.values() };
}
type Rank = ReturnType<typeof rank>;

/** Whether one more fits into its part of all places, which is at least one place. */
const fits = (used: number, all: number, part: number) => used < Math.max(1, Math.floor(all * part));

/** Admits as many requests as the server can work on, queues some and refuses the rest at once; each in O(1). */
export class Admission {
  private readonly adaptive: AdaptiveLimit;
  private readonly readPause = new ReadPause();
  private readonly common = places();
  /**
   * In order of priority. The latency of a login is mostly its hash, and that of a bulk upload is its sender's, so neither
   * says anything about the server. They have places of their own: else a few slow senders would fill a limit that has
   * become small.
   */
  private readonly ranks: Record<Priority, Rank> = {
    write: rank(this.common, 1, true),
    login: rank(places(), 0.5, false),
    read: rank(this.common, 0.9, true),
    bulk: rank(places(), 0.25, false),
    // Until its stream is open; many come back at once when a replica stops.
    listen: rank(places(), 0.25, false),
  };
  private readonly inOrder = Object.values(this.ranks);
  private readonly timer = setInterval(() => this.tick(), TICK_MS).unref();
  private isStarting = false;

  /** @param now a clock, in ms */
  constructor(
    private readonly options: AdmissionOptions,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.adaptive = new AdaptiveLimit(options);
  }

  /**
   * Calls `start`, now or when there is room, or `refuse`, now or after too long a wait. Neither may throw.
   * @returns the request in the queue, if it has to wait
   */
  enter(priority: Priority, start: (leave: Leave) => void, refuse: () => void): Waiting | undefined {
    const rank = this.ranks[priority];
    if (this.hasRoom(rank)) return void this.begin(rank, start);
    if (fits(rank.of.waiting, (this.limit * WAITING_PERCENT) / (this.adaptive.isStrict ? 200 : 100), rank.part)) {
      // Another request's end starts it, but it must keep its own async context.
      const waiting = {
        start: AsyncLocalStorage.bind(start),
        refuse,
        since: this.now(),
        cancel: () => this.forget(rank, waiting),
      };
      rank.line.add(waiting);
      rank.of.waiting++;
      return waiting;
    }
    rank.refused.full++;
    if (rank.tells) this.adaptive.refuse();
    return void refuse();
  }

  /** How many requests may be at work at the same time. */
  get limit(): number {
    return this.adaptive.value;
  }

  get inFlight(): number {
    return this.sum('inHand');
  }

  get queued(): number {
    return this.sum('waiting');
  }

  /** To be called with a refused request: its connection may be left unread for a while. */
  pauseReading(request: Refused): void {
    this.readPause.refuse(request, this.now());
  }

  /** How many were refused since the start: because the queue was full, and after having waited too long. */
  refused(priority: Priority): Readonly<Record<'full' | 'late', number>> {
    return this.ranks[priority].refused;
  }

  /** Called by a timer every TICK_MS; how late it comes is the event loop's delay. */
  tick(): void {
    const now = this.now();
    this.adaptive.update(now);
    this.readPause.tick(now);
    for (const rank of this.inOrder) {
      for (const waiting of rank.line) {
        if (now - waiting.since < this.options.waitMs) break;
        this.forget(rank, waiting);
        rank.refused.late++;
        if (rank.tells) this.adaptive.refuse();
        waiting.refuse();
      }
    }
    this.startWaiting();
  }

  /** Stops the timer. The limit stays as it is. */
  close(): void {
    clearInterval(this.timer);
  }

  private hasRoom({ of, part }: Rank): boolean {
    return fits(of.inHand, this.limit, part);
  }

  private begin({ of, tells }: Rank, start: (leave: Leave) => void): void {
    const since = this.now();
    const inHand = ++of.inHand;
    let isInHand = true;
    start((dropped = false, isTelling = tells) => {
      if (!isInHand) return;
      isInHand = false;
      of.inHand--;
      this.readPause.answer();
      if (isTelling) this.adaptive.sample(this.now() - since, inHand, dropped);
      this.startWaiting();
    });
  }

  private forget({ of, line }: Rank, waiting: Waiting): boolean {
    const wasThere = line.delete(waiting);
    if (wasThere) of.waiting--;
    return wasThere;
  }

  private sum(of: keyof Places): number {
    const { write, login, bulk, listen } = this.ranks;
    return write.of[of] + login.of[of] + bulk.of[of] + listen.of[of];
  }

  /** A loop rather than a recursion, since a request may end within its own start. */
  private startWaiting(): void {
    if (this.isStarting) return;
    this.isStarting = true;
    while (this.queued > 0) {
      const rank = this.inOrder.find((one) => one.line.size > 0 && this.hasRoom(one));
      if (!rank) break;
      const first = rank.firsts.next().value as Waiting;
      this.forget(rank, first);
      this.begin(rank, first.start);
    }
    this.isStarting = false;
  }
}
