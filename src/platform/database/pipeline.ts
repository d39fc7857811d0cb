import type { Writable } from 'node:stream';
import type { ClientConfig, QueryConfig, QueryResult } from 'pg';
import { ImpatientClient } from './pool.js';

const CONNECTIONS = 2;

/**
 * Short reads on a few connections of their own, sent without waiting for the answer before: all of a turn of the event
 * loop go out in one packet. A system call that wakes another process costs more than most of what is done here for a read.
 * What may take long does not belong here: it would hold up all behind it.
 */
export class Pipeline {
  private readonly clients: (Promise<ImpatientClient> | undefined)[] = new Array(CONNECTIONS).fill(undefined);
  private turn = 0;

  constructor(private readonly options: ClientConfig) {}

  /** Connects, so that the first reads need not wait for it; what fails is tried again when it is needed. */
  async open(): Promise<void> {
    await Promise.allSettled(this.clients.map((client, slot) => client ?? this.client(slot)));
  }

  /**
   * @param isMany it stands for many already, and waits for no others
   * @throws what pg throws; after a query that took too long, for all that were sent behind it too
   */
  async query(query: QueryConfig, isMany: boolean): Promise<QueryResult> {
    const slot = this.turn++ % CONNECTIONS;
    const client = await this.client(slot);
    if (!isMany) this.gather(client);
    return client.query(query);
  }

  async end(): Promise<void> {
    await Promise.allSettled(this.clients.map(async (client) => (await client)?.end()));
  }

  private client(slot: number): Promise<ImpatientClient> {
    this.clients[slot] ??= this.connect(slot);
    return this.clients[slot];
  }

  private async connect(slot: number): Promise<ImpatientClient> {
    // What is asked here is planned once: with ids in an array PostgreSQL would do so each time, which takes longer than the read.
    let isOurs = true;
    const client = new ImpatientClient({
      ...this.options,
      pipeline: true,
      options: '-c plan_cache_mode=force_generic_plan',
    });
    const forget = () => {
      // It may end after it has failed, when there is another one already.
      if (isOurs) this.clients[slot] = undefined;
      isOurs = false;
    };
    client.on('error', forget).on('end', forget);
    await client.connect().catch((error) => {
      forget();
      throw error;
    });
    return client;
  }

  private gather({ connection }: ImpatientClient): void {
    const { stream } = connection as unknown as { stream: Writable };
    if (stream.writableCorked > 0) return;
    stream.cork();
    setImmediate(() => stream.uncork());
  }
}
