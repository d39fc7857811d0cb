import type { Writable } from 'node:stream';
import type { PoolConfig, QueryConfig, QueryResult } from 'pg';
import { ClientWithTimeout } from './client-with-timeout.js';
import { sqlState, TOO_MANY_CONNECTIONS } from './database-problem.js';

const CONNECTIONS = 2;
/** Where PostgreSQL has no places left, these are left to the pool for so long. */
const PAUSE_MS = 5000;

/**
 * Short reads on a few connections of their own, sent without waiting for the answer before: all of a turn of the event
 * loop go out in one packet. A system call that wakes another process costs more than most of what is done here for a read.
 * What may take long does not belong here: it would hold up all behind it.
 */
export class Pipeline {
  private readonly clients: (Promise<ClientWithTimeout> | undefined)[] = new Array(CONNECTIONS).fill(undefined);
  /** Whose promises these are. */
  private readonly inUse: ClientWithTimeout[] = [];
  private turn = 0;
  private pausedUntil = 0;

  constructor(private readonly options: PoolConfig) {}

  /** Connects, so that the first reads need not wait for it; what fails is tried again when it is needed. */
  async open(): Promise<void> {
    await Promise.allSettled(this.clients.map((client, slot) => client ?? this.client(slot)));
  }

  /** Whether short reads are to go through the pool for now. */
  get isPaused(): boolean {
    return performance.now() < this.pausedUntil;
  }

  /** Leaves its places to others for a while. */
  pause(): void {
    this.pausedUntil = performance.now() + PAUSE_MS;
    this.renew();
  }

  /** Ends its connections, when what is asked on them has been answered. */
  renew(): void {
    for (const client of this.clients.splice(0, CONNECTIONS, undefined, undefined)) client?.then(end, () => {});
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

  private client(slot: number): Promise<ClientWithTimeout> {
    this.clients[slot] ??= this.connect(slot);
    return this.clients[slot];
  }

  private async connect(slot: number): Promise<ClientWithTimeout> {
    // What is asked here is planned once: with ids in an array PostgreSQL would do so each time, which takes longer than the read.
    const settings = { plan_cache_mode: 'force_generic_plan' };
    const client = new ClientWithTimeout({ ...this.options, pipeline: true, settings });
    const forget = () => {
      // It may end when there is another one already.
      if (this.inUse[slot] === client) this.clients[slot] = undefined;
    };
    this.inUse[slot] = client;
    client.on('error', forget).on('end', forget);
    const opened = client.connect().then(() => this.options.onConnect?.(client));
    await opened.catch((error) => {
      if (sqlState(error) === TOO_MANY_CONNECTIONS) this.pausedUntil = performance.now() + PAUSE_MS;
      forget();
      throw error;
    });
    return client;
  }

  private gather({ connection }: ClientWithTimeout): void {
    const { stream } = connection as unknown as { stream: Writable };
    if (stream.writableCorked > 0) return;
    stream.cork();
    setImmediate(() => stream.uncork());
  }
}

function end(client: ClientWithTimeout): void {
  client.end().catch(() => {});
}
