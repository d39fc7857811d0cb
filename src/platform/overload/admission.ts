import { AsyncLocalStorage } from 'node:async_hooks';
import { AdaptiveLimit, type LimitOptions } from './adaptive-limit.js';
import { ReadPause, type Refused } from './read-pause.js';

/** How often the limit is thought over, and those are refused who have waited too long. */
export const TICK_MS = 50;

/** Places to wait, as a part of the limit; half as many while some have to be refused, so that who is let in is soon. */
const WAITING_PERCENT = 50;

export type Priority = 'write' | 'login' | 'read' | 'bulk';
/**
 * The request has ended; `dropped` when it was not finished, and not `tells` when how long it took says nothing. Later
 * calls do nothing.
 */
export type Leave = (dropped?: boolean, tells?: boolean) => void;

export interface AdmissionOptions extends LimitOptions {
  /** Who has waited so long is refused: it happens when the server stands still. */
  waitMs: number;
}

/** One who waits. */
export interface Waiting {
  readonly start: (leave: Leave) => void;
  readonly refuse: () => void;
  readonly since: number;
  /** The caller has gone: neither is called any more. Does nothing once one of them was. */
  cancel(): void;
}

/** Requests that share places. */
interface Places {
  inHand: number;
  waiting: number;
}
const places = (): Places => ({ inHand: 0, waiting: 0 });

/**
 * Requests of one priority.
 * @param of the places that they have in common with others
 * @param part how much of these may be taken when one more comes in
 * @param tells its latency says how the server is
 */
function rank(of: Places, part: number, tells: boolean) {
  /** The longest waiting first. */
  const line = new Set<Waiting>();
  // The iterator goes along with the line: a new one would step over the gaps of all who have left.
  return { of, part, tells, refused: { full: 0, late: 0 }, line, firsts: line.values() };
}
type Rank = ReturnType<typeof rank>;

/** May one more come in, where so many are in use of which a part is for it? One at least always is. */
const fits = (used: number, all: number, part: number) => used < Math.max(1, Math.floor(all * part));

/** Lets in as many requests as the server can work on, has some wait and refuses the others at once; each in O(1). */
export class Admission {
  private readonly adaptive: AdaptiveLimit;
  private readonly readPause = new ReadPause();
  private readonly common = places();
  /**
   * Who comes first. A login is mostly its hash, and bulk takes as long as its caller: that says nothing of the server, and
   * they have places of their own, or a few slow senders would take all that a limit leaves which has become small.
   */
  private readonly ranks: Record<Priority, Rank> = {
    write: rank(this.common, 1, true),
    login: rank(places(), 0.5, false),
    read: rank(this.common, 0.9, true),
    bulk: rank(places(), 0.25, false),
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
   * Calls one of the two once: `start` now or when there is room, `refuse` now or when it has waited too long.
   * Neither may throw.
   * @returns the one who waits, if it does
   */
  enter(priority: Priority, start: (leave: Leave) => void, refuse: () => void): Waiting | undefined {
    const rank = this.ranks[priority];
    if (this.hasRoom(rank)) return void this.begin(rank, start);
    if (fits(rank.of.waiting, (this.limit * WAITING_PERCENT) / (this.adaptive.isStrict ? 200 : 100), rank.part)) {
      // It is another one's end that starts it; what it does is still its own.
      const waiting = {
        start: AsyncLocalStorage.bind(start),
        refuse,
        since: this.now(),
        cancel: () => void this.forget(rank, waiting),
      };
      rank.line.add(waiting);
      rank.of.waiting++;
      return waiting;
    }
    rank.refused.full++;
    if (rank.tells) this.adaptive.refuse();
    return void refuse();
  }

  /** How many requests may be in hand at the same time. */
  get limit(): number {
    return this.adaptive.value;
  }

  get inFlight(): number {
    return this.sum('inHand');
  }

  get queued(): number {
    return this.sum('waiting');
  }

  /** To be called with what was refused: its connection may be left unread for a while. */
  pauseReading(request: Refused): void {
    this.readPause.refuse(request, this.now());
  }

  /** How many were refused since the start: for want of a place to wait, and after having waited in vain. */
  refused(priority: Priority): Readonly<Record<'full' | 'late', number>> {
    return this.ranks[priority].refused;
  }

  /** Its own timer calls this every TICK_MS; by how much too late is the event loop's delay. */
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

  private forget({ of, line }: Rank, waiting: Waiting): void {
    if (line.delete(waiting)) of.waiting--;
  }

  private sum(of: keyof Places): number {
    const { write, login, bulk } = this.ranks;
    return write.of[of] + login.of[of] + bulk.of[of];
  }

  /** A loop, not a recursion: what is started may end within its start. */
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
