import { showInUse } from '../metrics/in-use.js';
import { utilizationMeter } from './utilization.js';

/** Above this the event loop has no time to spare. */
const BUSY = 0.9;
const SHORTEST_MS = 25;
/** As long as Retry-After asks for. */
const LONGEST_MS = 1000;

/** When so much time has gone by since the last tick, the loop reads more than it gets round to. */
const LATE_MS = 100;

/** A request, as far as its connection can be left unread for a while. */
export type Refused = {
  socket: Record<'pause' | 'resume', () => unknown>;
  once(on: 'close', work: () => void): unknown;
};

/**
 * A process that is asked for enough can spend all of its time on refusals, and callers who ask again at once see to it
 * that it does. While the event loop is busy and refuses more than it answers, who is refused is answered at once, but
 * not read again for a while, which costs nothing: what waits does so in the system. Node may read and refuse up to 49,152
 * times before it comes to its timers and to what is to be sent to PostgreSQL; so a tick that is late tells as much.
 */
export class Rest {
  private restMs = 0;
  private refused = 0;
  private answered = 0;
  private tickedAt = Number.POSITIVE_INFINITY;
  private readonly resting: { socket: Refused['socket']; since: number }[] = [];

  /** @param utilization of the event loop since the last call, 0 to 1 */
  constructor(private readonly utilization: () => number = utilizationMeter()) {
    showInUse('resting_connections', () => this.resting.length);
  }

  answer(): void {
    this.answered++;
  }

  /** To be called for who is refused. */
  refuse(request: Refused, now: number): void {
    this.refused++;
    if (this.restMs === 0 && now - this.tickedAt < LATE_MS) return;
    const { socket } = request;
    // Before, Node might read on for the rest of the request.
    request.once('close', () => socket.pause());
    this.resting.push({ socket, since: now });
  }

  /** To be called at a steady pace: how long is a rest, and who has had it? */
  tick(now: number): void {
    const isTooMuch = this.utilization() > BUSY && this.refused > this.answered;
    this.refused = this.answered = 0;
    this.tickedAt = now;
    if (isTooMuch) this.restMs = Math.min(LONGEST_MS, Math.max(SHORTEST_MS, this.restMs) * 2);
    else this.restMs = this.restMs > SHORTEST_MS ? this.restMs * 0.8 : 0;
    const rested = this.resting.findIndex(({ since }) => now - since < this.restMs);
    for (const { socket } of this.resting.splice(0, rested < 0 ? this.resting.length : rested)) socket.resume();
  }
}
