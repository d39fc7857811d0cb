import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

type Direction = 'up' | 'down';

/** The faults of all connections, open and new ones. */
interface Faults {
  /** The delay of each piece, and the largest random addition to it, in milliseconds. */
  latencyMs: number;
  jitterMs: number;
  /** The directions that are held: pieces wait here, and connections stay open. */
  held: Set<Direction>;
  /** This many more bytes of answers pass before the connection is reset. */
  bytesLeft: number;
}

/** A proxy to a server that a test can slow down, hold, break and mend. */
export interface Forwarder {
  /** The given URL, through this forwarder. */
  url: string;
  /** The number of open connections through it. */
  readonly open: number;
  /** Closes all connections and accepts no new ones. */
  cut(): Promise<void>;
  mend(): Promise<void>;
  /** Resets all connections; new ones are accepted. */
  reset(): void;
  /** Ends the client's half of each connection towards the server; its answers still pass. */
  halfOpen(): void;
  /** Holds everything, or all answers, on connections that stay open, including their ends; new ones are accepted and held, too. */
  hold(what: 'everything' | 'answers'): void;
  /** Silently drops everything on the open connections for good; new ones work. */
  lose(): void;
  /** Sends new connections to another server, as when a name has moved; open ones stay. */
  leadTo(target: string): void;
  /** Lets the held pieces through. */
  release(): void;
  /** Delays every piece this long in each direction; 0 ends it. */
  slow(latencyMs: number, jitterMs?: number): void;
  /** Resets the connection that carries the next byte after this many more bytes of answers. */
  cutAfter(bytes: number): void;
  close(): Promise<void>;
}

export async function forward(target: string): Promise<Forwarder> {
  let { hostname, port } = new URL(target);
  const faults: Faults = { latencyMs: 0, jitterMs: 0, held: new Set(), bytesLeft: Number.POSITIVE_INFINITY };
  const ways = new Set<Way>();
  const server = createServer((near) => {
    const way = new Way(near, connect(Number(port), hostname), faults);
    ways.add(way);
    for (const side of [way.near, way.far]) {
      side.once('close', () => {
        if (way.near.closed && way.far.closed) ways.delete(way);
      });
    }
  });
  const listen = async (on: number) => {
    server.listen(on, '127.0.0.1');
    await once(server, 'listening');
  };
  const cut = async () => {
    const closed = once(server, 'close');
    server.close();
    for (const way of ways) way.destroy();
    await closed;
  };
  await listen(0);
  const own = (server.address() as AddressInfo).port;
  const url = new URL(target);
  url.host = `127.0.0.1:${own}`;
  return {
    url: url.href,
    get open() {
      return ways.size;
    },
    cut,
    mend: () => listen(own),
    reset: () => {
      for (const way of ways) way.reset();
    },
    halfOpen: () => {
      for (const way of ways) way.endUp();
    },
    hold: (what) => {
      faults.held = new Set(what === 'everything' ? ['up', 'down'] : ['down']);
    },
    lose: () => {
      for (const way of ways) way.isLost = true;
    },
    leadTo: (other) => {
      ({ hostname, port } = new URL(other));
    },
    release: () => {
      faults.held.clear();
      for (const way of ways) way.flush();
    },
    slow: (latencyMs, jitterMs = 0) => Object.assign(faults, { latencyMs, jitterMs }),
    cutAfter: (bytes) => {
      faults.bytesLeft = bytes;
    },
    close: async () => {
      if (server.listening) await cut();
    },
  };
}

/** One connection and the pieces in transit on it. */
class Way {
  isLost = false;
  private readonly waiting: Record<Direction, Buffer[]> = { up: [], down: [] };

  constructor(
    readonly near: Socket,
    readonly far: Socket,
    private readonly faults: Faults,
  ) {
    near.setNoDelay(true);
    far.setNoDelay(true);
    near.on('data', (piece) => this.pass('up', piece as Buffer)).on('error', () => {});
    far.on('data', (piece) => this.pass('down', piece as Buffer)).on('error', () => {});
    near.on('close', () => this.endToo('up'));
    // The server's last pieces are still in transit.
    far.on('close', () => setTimeout(() => this.endToo('down'), faults.latencyMs + faults.jitterMs));
  }

  destroy(): void {
    this.near.destroy();
    this.far.destroy();
  }
  reset(): void {
    this.near.resetAndDestroy();
    this.far.resetAndDestroy();
  }
  endUp(): void {
    this.far.end();
  }

  /** Sends all waiting pieces in order. */
  flush(): void {
    for (const direction of ['up', 'down'] as const) {
      if (this.isHeld(direction)) continue;
      for (const piece of this.waiting[direction].splice(0)) this.write(direction, piece);
      if ((direction === 'up' ? this.near : this.far).closed) this.endToo(direction);
    }
  }

  private isHeld(direction: Direction): boolean {
    return this.isLost || this.faults.held.has(direction);
  }

  /** Passes the end of one side on to the other, unless pieces are held. */
  private endToo(direction: Direction): void {
    if (this.isHeld(direction)) return;
    if (direction === 'up') this.far.destroy();
    else this.near.destroySoon();
  }

  private pass(direction: Direction, piece: Buffer): void {
    this.waiting[direction].push(piece);
    const { latencyMs, jitterMs } = this.faults;
    const ms = latencyMs + Math.random() * jitterMs;
    if (ms > 0) setTimeout(() => this.next(direction), ms);
    else if (this.waiting[direction].length === 1) this.next(direction);
    else setImmediate(() => this.next(direction));
  }

  /** Sends the first piece, whichever piece the timer was for, so that the order stays. */
  private next(direction: Direction): void {
    if (this.isHeld(direction)) return;
    const piece = this.waiting[direction].shift();
    if (piece) this.write(direction, piece);
  }

  private write(direction: Direction, piece: Buffer): void {
    const to = direction === 'up' ? this.far : this.near;
    if (!to.writable) return;
    if (direction === 'up' || piece.length <= this.faults.bytesLeft) {
      if (direction === 'down') this.faults.bytesLeft -= piece.length;
      const from = direction === 'up' ? this.near : this.far;
      // A slow reader slows the writer down, as without this forwarder.
      if (!to.write(piece)) {
        from.pause();
        to.once('drain', () => from.resume());
      }
      return;
    }
    to.write(piece.subarray(0, this.faults.bytesLeft), () => this.reset());
    this.faults.bytesLeft = Number.POSITIVE_INFINITY;
  }
}
