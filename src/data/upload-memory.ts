import { showInUse } from '../platform/metrics/in-use.js';

/** Bytes, about, that uploads may hold which are not stored yet, all together; while they are stored it is twice as much. */
const UPLOAD_MEMORY_BYTES = 12_582_912;

/** An item that has not come to its end keeps nobody else out as long as it has no more bytes. */
const SMALL_REST_BYTES = 65_536;

/** What an upload holds: rows that wait for more or are being stored, and an item that has not come to its end. */
interface Holder {
  rows: number;
  rest: number;
  isStoring: boolean;
  /** Tells it, where it waits for its caller, to store its rows or, where it has none, that there is no room for it. */
  yield: ((how: 'store' | 'end') => void) | undefined;
}

const bytesOf = ({ rows, rest }: Holder) => rows + rest;

/**
 * Uploads are slow as their callers are, and each holds a batch meanwhile: a few hundred would take all memory. When they hold
 * too much, those that wait for their callers store what they have, the largest first, and the others before they read on.
 */
export class UploadMemory {
  private readonly holders = new Set<Holder>();
  private bytes = 0;

  constructor() {
    showInUse('uploads', () => this.holders.size);
    showInUse('upload_bytes', () => this.bytes);
  }

  open(): Holder {
    const holder: Holder = { rows: 0, rest: 0, isStoring: false, yield: undefined };
    this.holders.add(holder);
    return holder;
  }

  /** @returns whether that is too much for all together, beside what is about to be stored */
  hold(holder: Holder, rows: number, rest: number): boolean {
    this.bytes += rows + rest - bytesOf(holder);
    Object.assign(holder, { rows, rest });
    if (this.bytes <= UPLOAD_MEMORY_BYTES) return false;
    const holders = [...this.holders];
    const leaving = holders.reduce((sum, one) => sum + (one.isStoring ? one.rows : 0), 0);
    let over = this.bytes - leaving - UPLOAD_MEMORY_BYTES;
    const isOver = over > 0;
    for (const one of holders.sort((a, b) => bytesOf(b) - bytesOf(a))) {
      if (over <= 0) break;
      if (!one.yield || (one.rows === 0 && one.rest <= SMALL_REST_BYTES)) continue;
      over -= one.rows || one.rest;
      one.yield(one.rows > 0 ? 'store' : 'end');
      one.isStoring = one.rows > 0;
      one.yield = undefined;
    }
    return isOver;
  }

  close(holder: Holder): void {
    this.bytes -= bytesOf(holder);
    this.holders.delete(holder);
  }
}
