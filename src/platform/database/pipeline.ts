import type { Writable } from 'node:stream';
import type { PoolConfig, QueryConfig, QueryResult } from 'pg';
import { ClientWithTimeout } from './client-with-timeout.js';
import { sqlState, TOO_MANY_CONNECTIONS } from './database-problem.js';

const CONNECTIONS = 2;
/** How long these connections stay closed, for the pool's use, when PostgreSQL has no connection slots left. */
const PAUSE_MS = 5000;

/**
 * Pipelines short reads on a few connections of their own: each is sent without waiting for the answer before it, and
 * all of one turn of the event loop share a packet. A system call that wakes another process costs more than most of
 * our own work for a read. Slow queries do not belong here, since they would delay all behind them.
 */
export class Pipeline {
  private readonly clients: (Promise<ClientWithTimeout> | undefined)[] = new Array(CONNECTIONS).fill(undefined);
  /** The client of each slot in `clients`, while it connects and after. */
  private readonly inUse: ClientWithTimeout[] = [];
  private turn = 0;
  private pausedUntil = 0;

  constructor(private readonly options: PoolConfig) {}

  /** Connects ahead of the first reads. A connection that fails is tried again when it is needed. */
  async open(): Promise<void> {
    await Promise.allSettled(this.clients.map((client, slot) => client ?? this.client(slot)));
  }

  /** Whether short reads should use the pool for now. */
  get isPaused(): boolean {
    return performance.now() < this.pausedUntil;
  }

  /** Leaves its connection slots to others for a while. */
  pause(): void {
    this.pausedUntil = performance.now() + PAUSE_MS;
    this.renew();
  }

  /** Ends its connections once their queries are answered. */
  renew(): void {
    for (const client of this.clients.splice(0, CONNECTIONS, undefined, undefined)) client?.then(end, () => {});
  }

  /**
   * @param isMany the query is a batch already, so it is sent at once instead of with others
   * @throws what pg throws; a query that takes too long fails all that were sent behind it too
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
    // Plan once: for ids in an array PostgreSQL would plan each time, which takes longer than the read.
    const settings = { plan_cache_mode: 'force_generic_plan' };
    const client = new ClientWithTimeout({ ...this.options, pipeline: true, settings });
    const forget = () => {
      // The slot may already have a new client when the old one ends.
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
