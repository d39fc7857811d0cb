import type { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { Inject, Injectable, Logger } from '@nestjs/common';
import type { PoolClient } from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import type { Config } from '../config.js';
import { CONFIG } from '../platform/config.token.js';
import { Database } from '../platform/database/database.js';
import { tooLarge } from '../platform/http/body.js';
import { fingerprintOf, type IdempotencyKey, isOtherRequest } from '../platform/http/idempotency.js';
import { invalid, notFound, Problem } from '../platform/http/problem.js';
import { Batches, type Progress } from './batches.js';
import type { Collection } from './collection.entity.js';
import { ArraySplitter, LineSplitter, type Splitter } from './splitter.js';
import { type Finished, type HeldKey, UploadKeys } from './upload-keys.js';

const COPY = 'COPY records (collection_id, data, occurred_at) FROM STDIN';
const IS_THERE = { name: 'collection_is_there', text: 'SELECT 1 FROM collections WHERE id = $1' };

export interface Upload {
  body: Readable;
  /** What Content-Length says, in bytes; NaN without one. */
  length: number;
  /** One JSON text a line, or one array. */
  format: 'lines' | 'array';
  /** Nothing is stored unless all is good. */
  atomic: boolean;
  /** The caller's name for it, under which it takes effect once. */
  key?: IdempotencyKey | undefined;
}

/** An upload's report as JSON text, and whether it was made before. */
export interface Loaded {
  json: string;
  isReplayed: boolean;
}

/** Takes an upload of records as it comes and stores it by COPY, batch by batch, while the next batch is being read. */
@Injectable()
export class BulkService {
  private readonly logger = new Logger(BulkService.name);

  constructor(
    private readonly database: Database,
    private readonly keys: UploadKeys,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /**
   * @throws Problem content-too-large beyond BULK_LIMIT_BYTES, invalid-request when the body is no array,
   *   unprocessable-content when an atomic upload has a bad line, not-found when the collection goes meanwhile,
   *   conflict and idempotency-key-reused as for any request with a key
   */
  async load(collection: Collection, upload: Upload): Promise<Loaded> {
    const limit = this.config.BULK_LIMIT_BYTES;
    if (upload.length > limit) {
      // Read on, or the caller who still sends may not come to read the answer.
      upload.body.resume();
      throw tooLarge(limit);
    }
    const held = upload.key && this.keys.hold(upload.key);
    const begun = await held?.claim(fingerprintOf('bulk', collection.id, upload.format, String(upload.atomic)));
    if (begun && isFinished(begun)) return this.replay(collection, upload, begun);
    try {
      const json = upload.atomic
        ? await this.storeAtOnce(collection, upload, held, begun)
        : await this.storeInBatches(collection, upload, held, begun);
      return { json, isReplayed: false };
    } finally {
      await held?.release();
    }
  }

  private async storeInBatches(collection: Collection, upload: Upload, held?: HeldKey, begun?: Progress) {
    const batches = this.batches(collection, begun, ({ text, progress }) =>
      this.database.client('pool', async (client) => {
        await assertThere(client, collection);
        if (!held) return copy(client, text);
        await inTransaction(client, async () => {
          await copy(client, text);
          await held.save(client, progress);
        });
      }),
    );
    try {
      await this.read(upload, batches);
      const progress = await batches.end();
      const json = JSON.stringify(progress.report);
      if (held) await this.database.client('pool', (client) => held.save(client, progress, json));
      return json;
    } catch (error) {
      await batches.settle().catch(() => {});
      const { inserted } = batches.progress.report;
      this.logger.warn(`A bulk upload to ${collection.name} ended early, with ${inserted} records stored.`);
      throw error;
    }
  }

  private storeAtOnce(collection: Collection, upload: Upload, held?: HeldKey, begun?: Progress): Promise<string> {
    return this.database.client('streams', (client) =>
      inTransaction(client, async () => {
        const batches = this.batches(collection, begun, async ({ text, progress }) => {
          if (progress.report.failed === 0) await copy(client, text);
        });
        try {
          await assertThere(client, collection);
          await this.read(upload, batches);
          const progress = await batches.end();
          const { failed, errors } = progress.report;
          if (failed > 0) {
            const members = { inserted: 0, failed, errors };
            throw new Problem('unprocessable-content', 'A line is bad, so nothing was stored.', members);
          }
          const json = JSON.stringify(progress.report);
          if (held) await held.save(client, progress, json);
          return json;
        } catch (error) {
          await batches.settle().catch(() => {});
          throw error;
        }
      }),
    );
  }

  /** The answer of before, if this is the very same upload. */
  private async replay(collection: Collection, upload: Upload, { items, digest, body }: Finished): Promise<Loaded> {
    const batches = this.batches(collection, { items, digest, report: JSON.parse(body) }, async () => {
      throw isOtherRequest();
    });
    await this.read(upload, batches);
    const progress = await batches.end();
    if (progress.items !== items || !progress.digest?.equals(digest)) throw isOtherRequest();
    return { json: body, isReplayed: true };
  }

  private batches(collection: Collection, begun: Progress | undefined, send: ConstructorParameters<typeof Batches>[2]) {
    return new Batches(collection.id, this.config.RECORD_LIMIT_BYTES, send, begun);
  }

  private async read({ body, format }: Upload, batches: Batches): Promise<void> {
    const { RECORD_LIMIT_BYTES, BULK_LIMIT_BYTES } = this.config;
    const splitter: Splitter =
      format === 'lines' ? new LineSplitter(RECORD_LIMIT_BYTES) : new ArraySplitter(RECORD_LIMIT_BYTES);
    let length = 0;
    try {
      for await (const chunk of body as AsyncIterable<Buffer>) {
        length += chunk.length;
        if (length > BULK_LIMIT_BYTES) throw tooLarge(BULK_LIMIT_BYTES);
        for (const item of splitter.push(chunk)) await batches.take(item);
      }
      for (const item of splitter.end()) await batches.take(item);
    } catch (error) {
      if (error instanceof SyntaxError) throw invalid('The body is not one JSON array.');
      throw error;
    }
  }
}

const isFinished = (begun: Progress | Finished): begun is Finished => 'body' in begun;

async function inTransaction<T>(client: PoolClient, work: () => Promise<T>): Promise<T> {
  await client.query('BEGIN');
  try {
    const result = await work();
    await client.query('COMMIT');
    return result;
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {});
    throw error;
  }
}

async function copy(client: PoolClient, text: string): Promise<void> {
  const stream = client.query(copyFrom(COPY));
  stream.end(text);
  await finished(stream);
}

async function assertThere(client: PoolClient, collection: Collection): Promise<void> {
  const { rowCount } = await client.query({ ...IS_THERE, values: [collection.id] });
  if (rowCount === 0) throw notFound('There is no collection of this name.');
}
