import { Socket } from 'node:net';
import { Readable, type Writable } from 'node:stream';
import type { Connection, Submittable } from 'pg';
import { timedOut } from './client-with-timeout.js';

const COPY_DATA = 'd'.charCodeAt(0);
/** CommandComplete of an earlier statement, CopyOutResponse, NoticeResponse and ParameterStatus: messages to skip. */
const SKIPPED = new Set(Buffer.from('CHNS'));
const HEADER_BYTES = 5;
const CHUNK_BYTES = 65_536;

/**
 * A socket for pg that reuses a single read buffer. Node's own sockets allocate 64 KiB for each read, and hundreds of
 * these would wait for garbage collection. Listeners of `chunk` must use the bytes at once; `data` is a copy.
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

/** The rows of a COPY … TO STDOUT, in buffers that are reused (PostgreSQL's manual, "COPY Operations"). */
export class CopyLines extends Readable implements Submittable {
  /** The connection's socket, while this stream reads it. */
  private socket: Socket | undefined;
  /** pg's own listener, which is detached meanwhile. */
  private reader: (chunk: Buffer) => void = () => {};
  /** The beginning of a message's header that was split between chunks. */
  private begun = Buffer.alloc(0);
  private isData = false;
  /** Remaining bytes of the current message. */
  private left = 0;
  private readonly free: Buffer[] = [];
  /** Set by pg: calling it clears query_timeout, which would otherwise end a COPY that is still running. */
  callback?: () => void;

  /** @param silenceMs the stream fails when PostgreSQL sends nothing for so long while it is being read */
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
    // Silence counts from here, since PostgreSQL could send nothing while the socket was paused.
    if (this.socket?.isPaused()) this.socket.setTimeout(this.silenceMs);
    this.socket?.resume();
  }

  /** Reuses buffers once the destination has written them. */
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

  /** At the end or an error, pg reads on from the rest of the chunk. */
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
