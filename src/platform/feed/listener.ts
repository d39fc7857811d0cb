import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** A reader with more than this unread does not keep up, and is told to come back. */
const UNREAD_BYTES = 65_536;
/** When a reader who is sent away comes back, in ms; spread, since a replica that stops sends all of its readers away. */
const RETRY_MS = { least: 1000, most: 10_000 };

/** Events as text, and as the HTTP chunk that one buffer serves to all listeners. */
export interface Events {
  text: string;
  chunk: Buffer;
}

export function eventsOf(text: string): Events {
  return { text, chunk: Buffer.from(`${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`) };
}

/** A reader who keeps a stream of server-sent events open. */
export class Listener {
  private readonly socket: Socket;
  /** What waited for it at the last look, and at how many looks in a row it had taken nothing. */
  private waited = 0;
  private idle = 0;

  /**
   * @param response whose head was sent
   * @param heartbeat what keeps the connection open, and tells the reader how far it is
   */
  constructor(
    private readonly response: ServerResponse,
    private readonly heartbeat: () => Events,
  ) {
    this.socket = response.req.socket;
  }

  get isOpen(): boolean {
    return !this.response.writableEnded && !this.socket.destroyed;
  }

  /** Bytes that wait in this process. */
  get waiting(): number {
    return this.socket.writableLength;
  }

  send({ text, chunk }: Events): void {
    if (!this.isOpen) return;
    if (this.waiting > UNREAD_BYTES) this.sendAway();
    // HTTP/1.0 knows no chunks.
    else if (this.response.chunkedEncoding) this.socket.write(chunk);
    else this.response.write(text);
  }

  beat(): void {
    if (this.waiting === 0) this.send(this.heartbeat());
  }

  /** Ends the stream. The reader comes back, here or to another replica, and goes on where it was. */
  sendAway(): void {
    if (!this.isOpen) return;
    const retry = Math.round(RETRY_MS.least + Math.random() * (RETRY_MS.most - RETRY_MS.least));
    this.response.end(`retry: ${retry}\n\n`);
    // Its head promised to keep the connection, which a replica that stops cannot.
    this.socket.end();
  }

  /** For a reader who takes nothing. */
  drop(): void {
    this.socket.destroy();
  }

  /** @returns at how many looks in a row it had taken nothing of what waits for it */
  look(): number {
    const { waiting } = this;
    this.idle = waiting > 0 && waiting >= this.waited ? this.idle + 1 : 0;
    this.waited = waiting;
    return this.idle;
  }
}
