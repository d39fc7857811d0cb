import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

type Direction = 'up' | 'down';

/** What is done to what passes, on all connections, those there are and those to come. */
interface Faults {
  /** How long each piece takes on its way, milliseconds, and up to how much longer by chance. */
  latencyMs: number;
  jitterMs: number;
  /** What stands still: pieces wait here, connections stay open. */
  held: Set<Direction>;
  /** Answers are let through up to this many bytes, and the connection is reset in the middle of them. */
  bytesLeft: number;
}

/** A way to a server that a test can make slow, hold, break and mend. */
export interface Forwarder {
  /** The given URL, by way of this forwarder. */
  url: string;
  /** How many connections pass through it now. */
  readonly open: number;
  /** Ends all connections and takes no new ones. */
  cut(): Promise<void>;
  mend(): Promise<void>;
  /** Ends all connections with a reset; new ones are taken. */
  reset(): void;
  /** Takes the client's half of each connection for ended: the server is told so, and its answers still pass. */
  halfOpen(): void;
  /** Lets nothing through, or no answers, on connections that stay open, no end either; new ones are taken and held as well. */
  hold(what: 'everything' | 'answers'): void;
  /** Lets nothing through, for good, on the connections that there are, of which nobody is told; new ones are as good as ever. */
  lose(): void;
  /** New connections go to another server, as when a name has moved; those that there are stay where they are. */
  leadTo(target: string): void;
  /** What was held comes through. */
  release(): void;
  /** Every piece takes so much longer each way; 0 ends it. */
  slow(latencyMs: number, jitterMs?: number): void;
  /** Resets the connection that carries the answers' next byte after so many more. */
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

/** One connection, and what is on its way on it. */
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
    // What the server said last is on its way still.
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

  /** Sends all that waited, in its order. */
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

  /** One side has ended its half, which the other side hears of unless nothing comes through. */
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

  /** The first piece goes on, whichever piece the timer was for: they stay in their order. */
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
      // A reader who is slow makes the writer slow, as it would without this forwarder.
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
