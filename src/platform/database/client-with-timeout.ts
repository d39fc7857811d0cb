import type { Socket } from 'node:net';
import { Client, type ClientConfig, type QueryResult } from 'pg';
import { READ_ONLY } from './database-problem.js';
import { startupParameters } from './session.js';

/** The longest time that a timer can run. */
const LONGEST_MS = 2 ** 31 - 1;

/** The event of a connection whose server has refused a write because it is read-only. */
export const READ_ONLY_SERVER = 'readOnlyServer';

export interface ConnectionOptions extends ClientConfig {
  /** PostgreSQL settings for this connection only. */
  settings?: Record<string, string>;
}

declare module 'pg' {
  interface Client {
    /** The start-up parameters that pg sends. */
    getStartupConf(): Record<string, string>;
  }
}

/** The error of a query that has exceeded query_timeout. */
export const timedOut = () => new Error('Query read timeout');

/**
 * A connection that closes when a query exceeds query_timeout: no later query on it would be answered, neither the
 * ROLLBACK nor the next query after TypeORM has returned it to the pool. pg's own promise and time-out are used for
 * COPY only: with them V8 moves each query and all rows of its result to the old generation.
 */
export class ClientWithTimeout extends Client {
  readonly openedAt = performance.now();
  private readonly timeoutMs: number;
  private readonly settings: Record<string, string>;

  constructor({ query_timeout, settings = {}, ...options }: ConnectionOptions) {
    super(options);
    // The running query reports a lost connection; without a listener the event would end the process.
    this.on('error', () => {});
    this.timeoutMs = Number(query_timeout ?? LONGEST_MS);
    this.settings = settings;
    // A server that has become read-only is no longer the primary, so its connection must not be used again.
    this.connection.on('errorMessage', ({ code }: { code?: string }) => {
      if (code !== READ_ONLY) return;
      this.emit(READ_ONLY_SERVER);
      process.nextTick(() => void this.end());
    });
  }

  /** Adds the settings that must not depend on the server's defaults. */
  override getStartupConf(): Record<string, string> {
    const { options, ...parameters } = super.getStartupConf();
    return { ...startupParameters(this.settings, options), ...parameters };
  }

  // biome-ignore lint/suspicious/noExplicitAny: pg has many ways to be called
  override query(...given: any[]): any {
    const [query] = given;
    if (typeof query.submit === 'function') return super.query(Object.assign(query, { query_timeout: this.timeoutMs }));
    const callback = typeof given.at(-1) === 'function' ? given.pop() : undefined;
    const asked = this.ask(given as [string]);
    return callback ? void asked.then((result) => callback(undefined, result), callback) : asked;
  }

  private async ask(given: [string]): Promise<QueryResult> {
    try {
      return await new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          reject(timedOut());
          (this.connection as unknown as { stream: Socket }).stream.destroy();
        }, this.timeoutMs);
        super.query(...given, (error, result) => {
          clearTimeout(timer);
          return error ? reject(error) : resolve(result);
        });
      });
    } catch (error) {
      // The stack should show who sent the query, not where the answer was read.
      Error.captureStackTrace(error as Error);
      throw error;
    }
  }
}
