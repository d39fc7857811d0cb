import type { Client } from './client.js';
import { EventReader } from './events.js';
import { pause } from './process.js';

/** How long it waits before it comes back, in place of the longer times that a server asks for. */
const BACK_MS = 100;

/** A reader of changes that comes back whenever its stream ends, to one replica after the other, and goes on where it was. */
export class Follower {
  /** For each record, the versions in the order in which they were first seen; 0 for its removal. */
  readonly seen = new Map<string, number[]>();
  /** Changes that came again. */
  repeated = 0;
  /** Times that the changes were said to be incomplete. */
  resets = 0;
  /** Streams that were opened. */
  streams = 0;
  private lastId: string | undefined;
  private isOver = false;
  private readonly following: Promise<void>;

  constructor(
    private readonly clients: Client[],
    private readonly path: string,
  ) {
    this.following = this.follow();
  }

  async stop(): Promise<void> {
    this.isOver = true;
    await this.following;
  }

  /** What was seen in an order that no commits had. */
  get disorder(): string[] {
    const isWrong = (versions: number[]) => versions.some((version, at) => version !== 0 && version !== at + 1);
    return [...this.seen].filter(([, versions]) => isWrong(versions)).map(([id, versions]) => `${id}: ${versions}`);
  }

  private async follow(): Promise<void> {
    for (let at = 0; !this.isOver; at++) {
      const client = this.clients[at % this.clients.length] as Client;
      const headers: Record<string, string> = this.lastId === undefined ? {} : { 'last-event-id': this.lastId };
      const reader = await EventReader.open(client, this.path, headers).catch(() => undefined);
      if (reader) this.streams++;
      for (let taken = 0; reader && !(this.isOver || reader.isOver); await pause(5))
        for (; taken < reader.events.length; taken++) this.take(reader.events[taken] as EventReader['events'][number]);
      if (reader?.lastId) this.lastId = reader.lastId;
      reader?.close();
      await pause(BACK_MS);
    }
  }

  private take({ id, event, data }: EventReader['events'][number]): void {
    this.lastId = id;
    if (event === 'reset') this.resets++;
    if (data.id === undefined) return;
    const versions = this.seen.get(data.id) ?? [];
    this.seen.set(data.id, versions);
    const version = event === 'deleted' ? 0 : data.version;
    if (versions.includes(version)) this.repeated++;
    else versions.push(version);
  }
}
