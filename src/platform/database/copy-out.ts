import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { Inject, Injectable } from '@nestjs/common';
import type { PoolClient } from 'pg';
import { CONFIG, type Config } from '../config.token.js';
import { invalid } from '../http/problem.js';
import { CopyLines } from './copy-lines.js';
import { ABANDONED_AFTER_MS, PrimaryAndReplicas } from './primary-and-replicas.js';

/** Long reads by COPY, which is the cursor: PostgreSQL sends no more than the reader takes, so memory is constant on both sides. */
@Injectable()
export class CopyOut {
  constructor(
    private readonly servers: PrimaryAndReplicas,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /**
   * Starts a COPY … TO STDOUT. Its connection is free again when the stream has ended. When it is destroyed, the
   * connection goes, but not its place: PostgreSQL works on until it notices.
   * @param reader the socket that it is for
   * @param allowed is aborted, with a problem, when nothing more may be read
   * @throws when no connection is free within DATABASE_ACQUIRE_TIMEOUT_MS; Problem invalid-request when the reader has gone,
   *   and that of the signal
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
      // Its connection is in order, and ends as that of a reader who goes.
      if (error !== allowed.reason) release(error);
    });
    lines.once('end', () => release());
    lines.once('close', () => {
      if (isReleased) return;
      client.end().catch(() => {});
      // Where it was not even begun, pg still counts its time.
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
