import type { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { Inject, Injectable, Logger } from '@nestjs/common';
import type { PoolClient } from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import type { Config } from '../config.js';
import { CONFIG } from '../platform/config.token.js';
import { Database } from '../platform/database/database.js';
import { tooLarge } from '../platform/http/body.js';
import { parseJson } from '../platform/http/json.js';
import { invalid, type Mistake, notFound, Problem } from '../platform/http/problem.js';
import { toMistakes } from '../platform/http/validation.js';
import type { Collection } from './collection.entity.js';
import { type BulkReport, recordInputSchema } from './record.schema.js';
import { ArraySplitter, type Item, LineSplitter, type Splitter } from './splitter.js';

/** Rows that one COPY takes: 5,000 were as fast as one stream of all (0.97 against 1.08 of psql's \copy). */
const BATCH_ROWS = 5000;
/** A batch of large records is sent earlier: this bounds the memory of one upload, in characters. */
const BATCH_LENGTH = 4_194_304;
const ERRORS_REPORTED = 1000;

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
}

/** Takes an upload of records as it comes and stores it by COPY, batch by batch, while the next batch is being read. */
@Injectable()
export class BulkService {
  private readonly logger = new Logger(BulkService.name);

  constructor(
    private readonly database: Database,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /**
   * @throws Problem content-too-large beyond BULK_LIMIT_BYTES, invalid-request when the body is no array,
   *   unprocessable-content when an atomic upload has a bad line, not-found when the collection goes meanwhile
   */
  async load(collection: Collection, upload: Upload): Promise<BulkReport> {
    const limit = this.config.BULK_LIMIT_BYTES;
    if (upload.length > limit) {
      // Read on, or the caller who still sends may not come to read the answer.
      upload.body.resume();
      throw tooLarge(limit);
    }
    return upload.atomic ? this.loadAtomically(collection, upload) : this.loadInBatches(collection, upload);
  }

  private async loadInBatches(collection: Collection, upload: Upload): Promise<BulkReport> {
    const batches = new Batches(collection, (text) =>
      this.database.client(async (client) => {
        await assertThere(client, collection);
        await copy(client, text);
      }),
    );
    try {
      await this.read(upload, batches);
    } catch (error) {
      await batches.settle().catch(() => {});
      const { inserted } = batches.report;
      this.logger.warn(`A bulk upload to ${collection.name} ended early, with ${inserted} records stored.`);
      throw error;
    }
    return batches.report;
  }

  private loadAtomically(collection: Collection, upload: Upload): Promise<BulkReport> {
    return this.database.client(async (client) => {
      const batches = new Batches(collection, async (text) => {
        if (batches.report.failed === 0) await copy(client, text);
      });
      await client.query('BEGIN');
      try {
        await assertThere(client, collection);
        await this.read(upload, batches);
        const { failed, errors } = batches.report;
        if (failed > 0)
          throw new Problem('unprocessable-content', 'A line is bad, so nothing was stored.', {
            inserted: 0,
            failed,
            errors,
          });
        await client.query('COMMIT');
      } catch (error) {
        await batches.settle().catch(() => {});
        await client.query('ROLLBACK').catch(() => {});
        throw error;
      }
      return batches.report;
    });
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
        for (const item of splitter.push(chunk)) await batches.take(item, RECORD_LIMIT_BYTES);
      }
      for (const item of splitter.end()) await batches.take(item, RECORD_LIMIT_BYTES);
    } catch (error) {
      if (error instanceof SyntaxError) throw invalid('The body is not one JSON array.');
      throw error;
    }
    await batches.flush();
    await batches.settle();
  }
}

/** Collects rows for COPY and sends them off, one batch at a time. */
class Batches {
  readonly report: BulkReport = { inserted: 0, failed: 0, errors: [] };
  private rows: string[] = [];
  private length = 0;
  private sending: Promise<void> = Promise.resolve();
  private readonly now = new Date().toISOString();

  constructor(
    private readonly collection: Collection,
    private readonly send: (text: string) => Promise<void>,
  ) {}

  /** @throws what the batch before failed with */
  async take({ line, bytes }: Item, limit: number): Promise<void> {
    const row =
      bytes === null ? [{ pointer: '', detail: `is longer than ${limit} bytes` }] : toRow(bytes, this.now);
    if (typeof row !== 'string') return this.fail(line, row);
    const text = `${this.collection.id}\t${row}\n`;
    this.rows.push(text);
    this.length += text.length;
    if (this.rows.length >= BATCH_ROWS || this.length >= BATCH_LENGTH) await this.flush();
  }

  async flush(): Promise<void> {
    const { rows } = this;
    if (rows.length === 0) return;
    this.rows = [];
    this.length = 0;
    await this.sending;
    this.sending = this.send(rows.join('')).then(() => {
      this.report.inserted += rows.length;
    });
    // Whoever waits next meets the failure; until then it must not count as unhandled.
    this.sending.catch(() => {});
  }

  /** Waits for the batch that is under way. @throws what it failed with */
  async settle(): Promise<void> {
    await this.sending;
  }

  private fail(line: number, mistakes: Mistake[]): void {
    this.report.failed++;
    const room = ERRORS_REPORTED - this.report.errors.length;
    this.report.errors.push(...mistakes.slice(0, Math.max(room, 0)).map((mistake) => ({ line, ...mistake })));
  }
}

/** A line as COPY's text format has it, or what is wrong with it. */
function toRow(bytes: Buffer, now: string): string | Mistake[] {
  let value: unknown;
  try {
    value = parseJson(bytes, 'The line');
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return (error.members.errors as Mistake[] | undefined) ?? [{ pointer: '', detail: error.detail }];
  }
  const record = recordInputSchema.safeParse(value);
  if (!record.success) return toMistakes(record.error.issues);
  const data = JSON.stringify(record.data.data);
  // JSON has its control characters escaped already: only the backslash means something to COPY.
  return `${data.includes('\\') ? data.replaceAll('\\', '\\\\') : data}\t${record.data.occurredAt ?? now}`;
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
