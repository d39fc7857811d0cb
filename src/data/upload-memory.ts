import { showInUse } from '../platform/metrics/in-use.js';

/** Bytes, about, that uploads may hold which are not stored yet, all together; while they are stored it is twice as much. */
const UPLOAD_MEMORY_BYTES = 12_582_912;

/** An item that has not come to its end keeps nobody else out as long as it has no more bytes. */
const SMALL_REST_BYTES = 65_536;

/** What is demanded of an upload that waits for its caller: to store its rows or, where it has none, to end, for want of room. */
type Demand = 'store' | 'end';

/** What one upload holds: rows that wait for more or are being stored, and an item that has not come to its end. */
class Share {
  rows = 0;
  rest = 0;
  isStoring = false;
  private demand: ((demand: Demand) => void) | undefined;

  constructor(private readonly allowed: AbortSignal) {
    allowed.addEventListener('abort', () => this.demand?.('end'), { once: true });
  }

  get bytes(): number {
    return this.rows + this.rest;
  }

  /** Whether it waits for its caller, and has something to give up. */
  get canYield(): boolean {
    return this.demand !== undefined && (this.rows > 0 || this.rest > SMALL_REST_BYTES);
  }

  /**
   * What is awaited from the caller or, if that comes before it, what is demanded.
   * @throws what the upload is refused with from now on
   */
  async orDemand<T>(awaited: Promise<T>): Promise<T | Demand> {
    this.allowed.throwIfAborted();
    const demanded = new Promise<Demand>((resolve) => {
      this.demand = resolve;
    });
    const found = await Promise.race([awaited, demanded]);
    this.demand = undefined;
    this.allowed.throwIfAborted();
    // Both may have come at the same time.
    this.isStoring = found === 'store';
    return found;
  }

  /** @returns bytes that will be free */
  yield(): number {
    this.isStoring = this.rows > 0;
    this.demand?.(this.isStoring ? 'store' : 'end');
    this.demand = undefined;
    return this.rows || this.rest;
  }
}

/**
 * Uploads are slow as their callers are, and each holds a batch meanwhile: a few hundred would take all memory. When they hold
 * too much, those that wait for their callers store what they have, the largest first, and the others before they read on.
 */
export class UploadMemory {
  private readonly shares = new Set<Share>();
  private bytes = 0;

  constructor() {
    showInUse('uploads', () => this.shares.size);
    showInUse('upload_bytes', () => this.bytes);
  }

  /** @param allowed is aborted when the upload may not go on */
  open(allowed: AbortSignal): Share {
    const share = new Share(allowed);
    this.shares.add(share);
    return share;
  }

  /** @returns whether that is too much for all together, beside what is about to be stored */
  hold(share: Share, rows: number, rest: number): boolean {
    this.bytes += rows + rest - share.bytes;
    Object.assign(share, { rows, rest });
    if (this.bytes <= UPLOAD_MEMORY_BYTES) return false;
    const shares = [...this.shares];
    const leaving = shares.reduce((sum, one) => sum + (one.isStoring ? one.rows : 0), 0);
    let over = this.bytes - leaving - UPLOAD_MEMORY_BYTES;
    const isOver = over > 0;
    for (const one of shares.sort((a, b) => b.bytes - a.bytes)) if (over > 0 && one.canYield) over -= one.yield();
    return isOver;
  }

  close(share: Share): void {
    this.bytes -= share.bytes;
    this.shares.delete(share);
  }
}
