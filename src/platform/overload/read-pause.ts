import { showInUse } from '../metrics/in-use.js';
import { utilizationMeter } from './utilization.js';

/** Above this the event loop has no time to spare. */
const BUSY = 0.9;
const SHORTEST_MS = 25;
/** As long as Retry-After says. */
const LONGEST_MS = 1000;

/** A tick that is this late says that the loop reads more than it can answer. */
const LATE_MS = 100;

/** The parts of a refused request that a pause needs. */
export type Refused = {
  /** Node has no event for the end of a request without a body. */
  closed: boolean;
  socket: Record<'pause' | 'resume', () => unknown>;
  once(on: 'close', work: () => void): unknown;
};

/**
 * Stops reading from the connections of refused callers for a while. A busy process could spend all its time on
 * refusals when callers ask again at once; a socket that is not read costs nothing, since the kernel holds what waits.
 * It begins while the event loop is busy and refuses more than it answers, or as soon as a tick is late: Node may read
 * and refuse up to 49,152 times before it comes to its timers.
 */
export class ReadPause {
  private pauseMs = 0;
  private refused = 0;
  private answered = 0;
  private tickedAt = Number.POSITIVE_INFINITY;
  private readonly paused: { socket: Refused['socket']; since: number }[] = [];

  /** @param utilization of the event loop since the last call, 0 to 1 */
  constructor(private readonly utilization: () => number = utilizationMeter()) {
    showInUse('paused_connections', () => this.paused.length);
  }

  answer(): void {
    this.answered++;
  }

  /** To be called with each refused request. */
  refuse(request: Refused, now: number): void {
    this.refused++;
    if (this.pauseMs === 0 && now - this.tickedAt < LATE_MS) return;
    const { socket } = request;
    // Paused sooner, Node might resume it to read the rest of the request.
    if (request.closed) socket.pause();
    else request.once('close', () => socket.pause());
    this.paused.push({ socket, since: now });
  }

  /** To be called at a steady pace: sets how long a pause is, and ends those that are over. */
  tick(now: number): void {
    const isTooMuch = this.utilization() > BUSY && this.refused > this.answered;
    this.refused = this.answered = 0;
    this.tickedAt = now;
    if (isTooMuch) this.pauseMs = Math.min(LONGEST_MS, Math.max(SHORTEST_MS, this.pauseMs) * 2);
    else this.pauseMs = this.pauseMs > SHORTEST_MS ? this.pauseMs * 0.8 : 0;
    const notYet = this.paused.findIndex(({ since }) => now - since < this.pauseMs);
    for (const { socket } of this.paused.splice(0, notYet < 0 ? this.paused.length : notYet)) socket.resume();
  }
}
