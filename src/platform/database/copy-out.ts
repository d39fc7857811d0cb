import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { Inject, Injectable } from '@nestjs/common';
import type { PoolClient } from 'pg';
import { CONFIG, type Config } from '../config.token.js';
import { invalid } from '../http/problem.js';
import { CopyLines } from './copy-lines.js';
import { ABANDONED_AFTER_MS, PrimaryAndReplicas } from './primary-and-replicas.js';

/** Long reads by COPY, with backpressure in place of a cursor: memory is constant here and in PostgreSQL. */
@Injectable()
export class CopyOut {
  constructor(
    private readonly servers: PrimaryAndReplicas,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /**
   * Starts a COPY … TO STDOUT. Its connection returns to the pool when the stream ends. When the stream is destroyed,
   * the connection is closed, but keeps its place in the pool, since PostgreSQL works on until it notices.
   * @param reader the socket that the rows are sent to
   * @param allowed is aborted, with a problem, when nothing more may be read
   * @throws when no connection is free within DATABASE_ACQUIRE_TIMEOUT_MS; Problem invalid-request when the reader has
   *   disconnected, or the signal's problem
   */
  async stream(
    statement: string,
    callerId: string | undefined,
    reader: Socket,
    allowed: AbortSignal,
  ): Promise<Readable> {
    const client = await this.connect(callerId);
    if (reader.destroyed || allowed.aborted) {
      client.release();
      throw allowed.reason ?? invalid('The request was cut off.');
    }
    const lines = client.query(new CopyLines(statement, this.config.REQUEST_TIMEOUT_MS));
    let isReleased = false;
    const release = (failure?: Error) => {
      if (isReleased) return;
      isReleased = true;
      client.off('error', fail);
      client.release(failure);
    };
    const fail = (error: Error) => lines.destroy(error);
    client.on('error', fail);
    allowed.addEventListener('abort', () => lines.destroy(allowed.reason), { once: true });
    lines.on('error', (error) => {
      // After an abort the connection itself is sound, and `close` ends it as for a reader who disconnects.
      if (error !== allowed.reason) release(error);
    });
    lines.once('end', () => release());
    lines.once('close', () => {
      if (isReleased) return;
      client.end().catch(() => {});
      // If the COPY has not begun, pg's time-out for it is still running.
      lines.callback?.();
      setTimeout(() => release(new Error('the reader went away')), 2 * ABANDONED_AFTER_MS).unref();
    });
    return lines;
  }

  private connect(callerId: string | undefined): Promise<PoolClient> {
    const { primary } = this.servers;
    const { streams } = this.servers.forReading(callerId);
    if (streams === primary.streams) return streams.connect();
    return streams.connect().catch(() => primary.streams.connect());
  }
}
