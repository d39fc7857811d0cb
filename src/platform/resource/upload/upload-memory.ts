import { showInUse } from '../../metrics/in-use.js';

/** About how many unstored bytes all uploads may hold together; it is twice as much while they are being stored. */
const UPLOAD_MEMORY_BYTES = 12_582_912;

/** An incomplete item of up to this size is never a reason to end its upload. */
const SMALL_REST_BYTES = 65_536;

/** What an upload that waits for its caller must do to free memory: store its rows, or end if it has none. */
type Demand = 'store' | 'end';

/** The bytes of one upload: rows that are being collected or stored, and an incomplete item (`rest`). */
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

  /** Whether the upload waits for its caller, and could free memory. */
  get canYield(): boolean {
    return this.demand !== undefined && (this.rows > 0 || this.rest > SMALL_REST_BYTES);
  }

  /**
   * Waits for the caller's data, or for a demand if one is made first.
   * @throws the problem that `allowed` was aborted with
   */
  async orDemand<T>(awaited: Promise<T>): Promise<T | Demand> {
    this.allowed.throwIfAborted();
    const demanded = new Promise<Demand>((resolve) => {
      this.demand = resolve;
    });
    const found = await Promise.race([awaited, demanded]);
    this.demand = undefined;
    this.allowed.throwIfAborted();
    // Data and demand may arrive at the same time, and only one of them counts.
    this.isStoring = found === 'store';
    return found;
  }

  /** @returns the number of bytes that will be freed */
  yield(): number {
    this.isStoring = this.rows > 0;
    this.demand?.(this.isStoring ? 'store' : 'end');
    this.demand = undefined;
    return this.rows || this.rest;
  }
}

/**
 * Bounds the memory of all uploads together. An upload is as slow as its caller and holds a batch meanwhile, so a few
 * hundred could take all memory. Above the bound, uploads that wait for their callers store what they have, the largest
 * first, and the others store theirs before they read on.
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

  /** @returns whether all uploads hold too much, not counting what is being stored */
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
