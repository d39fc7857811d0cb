import { Socket } from 'node:net';
import { Readable, type Writable } from 'node:stream';
import type { Connection, Submittable } from 'pg';
import { timedOut } from './client-with-timeout.js';

const COPY_DATA = 'd'.charCodeAt(0);
/** The end of a statement before the COPY, its beginning, a notice, a setting: nothing of these is ours. */
const SKIPPED = new Set(Buffer.from('CHNS'));
const HEADER_BYTES = 5;
const CHUNK_BYTES = 65_536;

/**
 * For pg, a socket that reads into one buffer again and again; Node's own take a new one of 64 KiB for each read, which
 * wait by the hundred for garbage collection. Who listens to `chunk` must be done with it at once; `data` is a copy.
 */
export function frugalSocket(): Socket {
  const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  const callback = (bytes: number): boolean => {
    const chunk = buffer.subarray(0, bytes);
    if (!socket.emit('chunk', chunk)) socket.emit('data', Buffer.from(chunk));
    return true;
  };
  const socket = new Socket({ onread: { buffer, callback } });
  return socket;
}

/** The rows of a COPY … TO STDOUT, in buffers that are used again (PostgreSQL's manual, "COPY Operations"). */
export class CopyLines extends Readable implements Submittable {
  /** The connection, while it is we who read it. */
  private socket: Socket | undefined;
  /** How pg reads its connection, while it is we who do. */
  private reader: (chunk: Buffer) => void = () => {};
  /** The beginning of a message's header, when the chunk ended in it. */
  private begun = Buffer.alloc(0);
  private isData = false;
  /** Bytes of the current message that are still to come. */
  private left = 0;
  private readonly free: Buffer[] = [];
  /** Where pg has its time-out (query_timeout), which would end a copy that goes on: calling it ends the time-out. */
  callback?: () => void;

  /** @param silenceMs with nothing from PostgreSQL for so long, though we listen, it is given up */
  constructor(
    private readonly statement: string,
    private readonly silenceMs: number,
  ) {
    super();
  }

  submit(connection: Connection & { query?(text: string): void }): void {
    this.callback?.();
    const socket = connection.stream as Socket;
    this.socket = socket.setTimeout(this.silenceMs).on('timeout', this.onSilence);
    [this.reader] = socket.listeners('data') as [typeof this.reader];
    socket.off('data', this.reader).on('data', this.onChunk).on('chunk', this.onChunk);
    connection.query?.(this.statement);
  }

  override _read(): void {
    // As long as nobody read, PostgreSQL could say nothing.
    if (this.socket?.isPaused()) this.socket.setTimeout(this.silenceMs);
    this.socket?.resume();
  }

  /** What the destination holds no more is used again. */
  override pipe<T extends NodeJS.WritableStream>(to: T, options?: { end?: boolean }): T {
    const written: Buffer[] = [];
    this.on('data', ({ buffer }: Buffer) => {
      if ((to as unknown as Writable).writableLength === 0) this.free.push(...written.splice(0));
      written.push(Buffer.from(buffer));
    });
    return super.pipe(to, options);
  }

  private readonly onSilence = (): void => {
    if (!this.socket?.isPaused()) this.destroy(timedOut());
  };

  private readonly onChunk = (received: Buffer): void => {
    const chunk = this.begun.length > 0 ? Buffer.concat([this.begun, received]) : received;
    this.begun = this.begun.subarray(0, 0);
    const spare = this.free.pop();
    const isFit = spare !== undefined && spare.length >= chunk.length;
    const rows = isFit ? spare : Buffer.allocUnsafeSlow(Math.max(chunk.length, CHUNK_BYTES + HEADER_BYTES));
    let [end, at] = [0, 0];
    while (at < chunk.length) {
      if (this.left > 0) {
        const next = Math.min(at + this.left, chunk.length);
        if (this.isData) end += chunk.copy(rows, end, at, next);
        this.left -= next - at;
        at = next;
      } else if (chunk.length - at < HEADER_BYTES) {
        this.begun = Buffer.from(chunk.subarray(at));
        break;
      } else {
        const code = chunk[at];
        this.isData = code === COPY_DATA;
        if (!this.isData && !SKIPPED.has(code as number)) break;
        this.left = chunk.readInt32BE(at + 1) + 1 - HEADER_BYTES;
        at += HEADER_BYTES;
      }
    }
    if (end === 0) this.free.push(rows);
    else if (!this.push(rows.subarray(0, end))) this.socket?.pause();
    if (at < chunk.length && this.begun.length === 0) this.giveBackSocket(Buffer.from(chunk.subarray(at)));
  };

  /** The end, or an error: pg reads on from there. */
  private giveBackSocket(rest: Buffer): void {
    const socket = this.socket as Socket;
    this.socket = undefined;
    socket.setTimeout(0).off('timeout', this.onSilence);
    socket.off('data', this.onChunk).off('chunk', this.onChunk).on('data', this.reader);
    this.reader(rest);
    socket.resume();
  }

  handleError(error: Error): void {
    this.destroy(error);
  }
  handleReadyForQuery(): void {
    this.push(null);
  }
  handleCommandComplete(): void {}
}
