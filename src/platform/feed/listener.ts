import type { ServerResponse } from 'node:http';
import { Counter } from 'prom-client';
import { isSure } from '../http/while-allowed.js';
import type { Change } from './feed.js';

/** A reader with more than this unread does not keep up, and is told to come back. */
const UNREAD_BYTES = 65_536;
/** Proxies close a connection on which nothing moves, many after 60 s. */
const BEAT_LOOKS = 15;
/** When a reader who is sent away comes back, in ms; spread, since a replica that stops sends all of its readers away. */
const RETRY_MS = { least: 1000, most: 10_000 };

const sentAway = new Counter({
  name: 'feed_listeners_sent_away_total',
  help: 'Listeners of change feeds whose streams were ended, because they read too slowly, the replica stopped, or their right to read could not be checked.',
  labelNames: ['reason'],
});

/** Events as text, and as the HTTP chunk that one buffer serves to all listeners. */
export interface Events {
  text: string;
  chunk: Buffer;
}

/** Changes for readers of one source; all of them are sent the same events. */
export interface Batch {
  changes: Change[];
  events?: Events;
}

/** Takes changes as they come, in order. */
export interface Reader {
  readonly isOpen: boolean;
  take(batch: Batch): void;
  /** Resolves when it can take more without keeping it in memory. */
  drained(): Promise<unknown> | undefined;
}

const eventOf = ({ id, kind, json }: Change) => `id: ${id}\nevent: ${kind}\ndata: ${json}\n\n`;

export function eventsOf(text: string): Events {
  return { text, chunk: Buffer.from(`${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`) };
}

/** Only keeps the connection open. */
export const BEAT = eventsOf(':\n\n');

/** A reader who keeps a stream of server-sent events open. Its fields are few, since there may be ten thousand. */
export class Listener implements Reader {
  /** The feed's position is its own. */
  hasCaughtUp = false;
  private looks = 0;
  /** What waited for it at the last look, and at how many looks in a row it had taken nothing. */
  private waited = 0;
  private idle = 0;

  /**
   * @param response whose head was sent
   * @param live whose heartbeat keeps the connection open
   * @param allowed is aborted when the caller may read no more
   */
  constructor(
    private readonly response: ServerResponse,
    private readonly live: { heartbeat: Events },
    private readonly allowed: AbortSignal,
  ) {}

  get isOpen(): boolean {
    return !this.response.writableEnded && !this.response.req.socket.destroyed;
  }

  /** Bytes that wait in this process. */
  get waiting(): number {
    return this.response.req.socket.writableLength;
  }

  send({ text, chunk }: Events): void {
    if (!this.isOpen) return;
    if (this.waiting > UNREAD_BYTES) this.sendAway('slow');
    // HTTP/1.0 knows no chunks.
    else if (this.response.chunkedEncoding) this.response.req.socket.write(chunk);
    else this.response.write(text);
  }

  take(batch: Batch): void {
    if (!isSure(this.allowed)) this.sendAway('unchecked');
    batch.events ??= eventsOf(batch.changes.map(eventOf).join(''));
    this.send(batch.events);
  }

  drained(): Promise<unknown> | undefined {
    const { socket } = this.response.req;
    if (!socket.writableNeedDrain || !this.isOpen) return undefined;
    return new Promise<void>((resolve) => {
      const end = () => {
        socket.off('drain', end).off('close', end);
        resolve();
      };
      socket.on('drain', end).on('close', end);
    });
  }

  /**
   * Ends the stream. The reader comes back, here or to another replica, and goes on where it was.
   * @param reason why it is counted; not for a reader who may read no more
   */
  sendAway(reason?: 'slow' | 'stop' | 'unchecked'): void {
    if (!this.isOpen) return;
    if (reason) sentAway.inc({ reason });
    const retry = Math.round(RETRY_MS.least + Math.random() * (RETRY_MS.most - RETRY_MS.least));
    this.response.end(`retry: ${retry}\n\n`);
    // Its head promised to keep the connection, which a replica that stops cannot.
    this.response.req.socket.end();
  }

  /** For a reader who takes nothing. */
  drop(): void {
    sentAway.inc({ reason: 'slow' });
    this.response.req.socket.destroy();
  }

  /** To be called once a second. @returns at how many looks in a row it had taken nothing of what waits for it */
  look(): number {
    if (this.allowed.aborted) this.sendAway();
    if (++this.looks % BEAT_LOOKS === 0 && this.waiting === 0) this.send(this.hasCaughtUp ? this.live.heartbeat : BEAT);
    const { waiting } = this;
    this.idle = waiting > 0 && waiting >= this.waited ? this.idle + 1 : 0;
    this.waited = waiting;
    return this.idle;
  }
}
