import type { Socket } from 'node:net';
import { Client, type ClientConfig, type QueryResult } from 'pg';
import { READ_ONLY } from './database-problem.js';
import { startupParameters } from './session.js';

/** As long as a timer can run. */
const LONGEST_MS = 2 ** 31 - 1;

/** What a connection says when a write was refused because its server takes none. */
export const READ_ONLY_SERVER = 'readOnlyServer';

export interface ConnectionOptions extends ClientConfig {
  /** Settings of PostgreSQL's for this connection alone. */
  settings?: Record<string, string>;
}

declare module 'pg' {
  interface Client {
    /** What it sends when it connects. */
    getStartupConf(): Record<string, string>;
  }
}

/** A query that was given up (query_timeout). */
export const timedOut = () => new Error('Query read timeout');

/**
 * A connection that ends when a query on it is given up (query_timeout). Nothing that is asked behind it would ever be
 * answered, neither the ROLLBACK of its transaction nor what TypeORM, which puts it back into the pool, asks next. pg's own
 * promise and time-out are used for COPY only: V8 lets each query that had one grow old, and with it all rows of its result.
 */
export class ClientWithTimeout extends Client {
  readonly openedAt = performance.now();
  private readonly timeoutMs: number;
  private readonly settings: Record<string, string>;

  constructor({ query_timeout, settings = {}, ...options }: ConnectionOptions) {
    super(options);
    // A lost connection says so by its query that fails; without a listener its event would end the process.
    this.on('error', () => {});
    this.timeoutMs = Number(query_timeout ?? LONGEST_MS);
    this.settings = settings;
    // A server that takes no writes any more is the wrong one, whoever asked: this connection is not to be used again.
    this.connection.on('errorMessage', ({ code }: { code?: string }) => {
      if (code !== READ_ONLY) return;
      this.emit(READ_ONLY_SERVER);
      process.nextTick(() => void this.end());
    });
  }

  /** As pg makes them, and what no server's habits may decide. */
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
      // To where it was asked, not to where the answer was read.
      Error.captureStackTrace(error as Error);
      throw error;
    }
  }
}
