import { must } from './answers.js';
import type { Client } from './client.js';
import { EventReader } from './events.js';
import { pause } from './process.js';
import { Told } from './told.js';

/** How long it waits before it comes back, in place of the longer times that a server asks for. */
const BACK_MS = 100;
/** The same after an attempt that failed. */
const AGAIN_MS = 1000;
const LOOK_MS = 10;

/** A reader of changes that comes back whenever its stream ends, to one replica after the other, and goes on where it was. */
export class Follower extends Told {
  /** Streams that were opened, or answers with lines. */
  streams = 0;
  private lastId: string | undefined;
  private isOver = false;
  private readonly following: Promise<void>;

  /** @param isPolling whether it asks for lines in place of a stream */
  constructor(
    private readonly clients: Client[],
    private readonly path: string,
    private readonly isPolling = false,
  ) {
    super();
    this.following = this.follow();
  }

  /** Whether it will be told of all changes from now on. */
  get hasBegun(): boolean {
    return this.lastId !== undefined;
  }

  async stop(): Promise<void> {
    this.isOver = true;
    await this.following;
  }

  private async follow(): Promise<void> {
    for (let at = 0; !this.isOver; at++) {
      const client = this.clients[at % this.clients.length] as Client;
      const reading = this.isPolling ? this.poll(client) : this.listen(client);
      await pause(
        await reading.then(
          () => BACK_MS,
          () => AGAIN_MS,
        ),
      );
    }
  }

  private async listen(client: Client): Promise<void> {
    const headers: Record<string, string> = this.lastId === undefined ? {} : { 'last-event-id': this.lastId };
    const reader = await EventReader.open(client, this.path, headers);
    this.streams++;
    for (let isEnd = false; !isEnd; await pause(LOOK_MS)) {
      // Asked first, so that what came before the end is taken.
      isEnd = this.isOver || reader.isOver;
      for (const { event, data } of reader.events.splice(0)) this.take(event, data);
      if (reader.lastId !== '') this.lastId = reader.lastId;
    }
    reader.close();
  }

  private async poll(client: Client): Promise<void> {
    const query = this.lastId === undefined ? '' : `?wait=5s&after=${this.lastId}`;
    const { text, headers } = must(200, await client.get(this.path + query));
    this.streams++;
    for (const line of text.split('\n').filter(Boolean)) {
      const { event, data } = JSON.parse(line);
      this.take(event, data);
    }
    this.lastId = /[?&]after=([\d-]+)/.exec(headers.get('link') ?? '')?.[1];
  }
}
