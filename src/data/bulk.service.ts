import type { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { Inject, Injectable, Logger } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { PoolClient } from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { CONFIG } from '../platform/config.token.js';
import { Database } from '../platform/database/database.js';
import { databaseProblem, isOrderly } from '../platform/database/database-problem.js';
import { invalid, notFound, Problem, tooLarge, unavailable } from '../platform/http/problem.js';
import { fingerprintOf, type IdempotencyKey } from '../platform/resource/idempotency.js';
import { Batches, type Progress } from './batches.js';
import type { Collection } from './collection.entity.js';
import type { DataConfig } from './data.settings.js';
import { Begun, type Item, splitArray, splitLines } from './splitter.js';
import { type HeldKey, UploadKeys } from './upload-keys.js';
import { UploadMemory } from './upload-memory.js';

const COPY = 'COPY records (collection_id, data, occurred_at) FROM STDIN';
const IS_THERE = { name: 'collection_is_there', text: 'SELECT 1 FROM collections WHERE id = $1' };

interface Upload {
  collection: Collection;
  /** Nothing is stored unless all lines are valid. */
  atomic: boolean;
  isLines: boolean;
  body: Readable;
  /** Aborted when the caller may no longer write to the collection. */
  allowed: AbortSignal;
  /** With an Idempotency-Key: the progress of earlier attempts, and the lease on the key of an unfinished upload. */
  begun?: Progress;
  held?: HeldKey;
}

/** Runs work in a transaction: one for each piece of work, or the same for all. */
type Within = <T>(work: (client: PoolClient) => Promise<T>) => Promise<T>;

/** Streams uploads of records into PostgreSQL by COPY, storing a batch while it reads the next. */
@Injectable()
export class BulkService {
  private readonly logger = new Logger(BulkService.name);
  private readonly memory = new UploadMemory();

  constructor(
    private readonly database: Database,
    private readonly keys: UploadKeys,
    @Inject(CONFIG) private readonly config: DataConfig,
  ) {}

  /**
   * @param request its body is a stream of NDJSON or of one JSON array
   * @param allowed is aborted, with the problem, when the caller may no longer write to the collection
   * @returns the report as JSON text, and whether an earlier request with the same key has made it
   * @throws Problem content-too-large beyond BULK_LIMIT_BYTES, invalid-request when the body is no array,
   *   unprocessable-content when an atomic upload has a bad line, not-found when the collection is deleted meanwhile,
   *   conflict and idempotency-key-reused as for any request with a key
   */
  async load(
    collection: Collection,
    request: FastifyRequest,
    atomic: boolean,
    allowed: AbortSignal,
    key?: IdempotencyKey,
  ) {
    const { 'content-type': type } = request.headers;
    if (!type) throw invalid('The body is missing.');
    const isLines = /^\s*application\/x-ndjson/i.test(type);
    const body = request.body as Readable;
    const fingerprint = fingerprintOf('bulk', collection.id, isLines ? 'lines' : 'array', String(atomic));
    const claimed = key && (await this.keys.claim(key, collection.id, fingerprint));
    const upload: Upload = { collection, atomic, isLines, body, allowed, ...claimed };
    const isReplayed = claimed?.begun.isFinished ?? false;
    const connected = <T>(pool: 'pool' | 'streams', work: (client: PoolClient) => Promise<T>) =>
      this.database.client(pool, (client) => inTransaction(client, () => work(client)));
    try {
      const json =
        atomic && !isReplayed
          ? await connected('streams', (client) => this.store(upload, (work) => work(client)))
          : await this.store(upload, (work) => connected('pool', work));
      return { json, isReplayed };
    } finally {
      await claimed?.held?.release();
    }
  }

  private async store(upload: Upload, within: Within): Promise<string> {
    const { collection, atomic, isLines, body, allowed, begun, held } = upload;
    const { BULK_LIMIT_BYTES, BODY_LIMIT_BYTES, RECORD_LIMIT_BYTES } = this.config;
    // An item may be as long as the body of a request for a single record.
    const limits = { item: BODY_LIMIT_BYTES, data: RECORD_LIMIT_BYTES };
    const send = async (text: string, progress: Progress) => {
      allowed.throwIfAborted();
      // After a bad line, the rest of an atomic upload is only checked.
      if (atomic && progress.report.failed > 0) return;
      await within(async (client) => {
        await assertThere(client, collection);
        await copy(client, text);
        if (!atomic) await held?.save(client, progress);
      });
    };
    const batches = new Batches(collection.id, limits, send, begun);
    try {
      const item = new Begun(limits.item);
      const items = (isLines ? splitLines : splitArray)(bounded(body, BULK_LIMIT_BYTES), item);
      await this.takeAll(items, batches, item, allowed);
      // An atomic upload commits after this, so its caller is checked once more.
      allowed.throwIfAborted();
    } catch (error) {
      const { inserted } = batches.progress.report;
      if (!atomic && !begun?.isFinished)
        this.logger.warn(`A bulk upload to ${collection.name} ended early, with ${inserted} records stored.`);
      const problem = toProblem(error);
      // Here `inserted` would count the records of another request with the same key.
      if (!problem || problem.type === 'idempotency-key-reused') throw error;
      throw problem.with({ inserted: atomic ? 0 : inserted }, error);
    }
    const { progress } = batches;
    const { report } = progress;
    if (atomic && report.failed > 0) {
      const members = { ...report, inserted: 0 };
      throw new Problem('unprocessable-content', 'Nothing was stored, because at least one line is invalid.', members);
    }
    const json = JSON.stringify(report);
    if (held) await within((client) => held.save(client, progress, json));
    return json;
  }

  /** Takes items as they arrive. While it waits, other uploads may demand that it stores its rows, to free memory. */
  private async takeAll(items: AsyncGenerator<Item[]>, batches: Batches, begun: Begun, allowed: AbortSignal) {
    const share = this.memory.open(allowed);
    const hold = () => this.memory.hold(share, batches.held, begun.held);
    const store = async () => {
      share.isStoring = true;
      await batches.store();
      share.isStoring = false;
      hold();
    };
    const receive = () => {
      const next = items.next();
      // The loop gets the error, unless the upload has ended meanwhile.
      next.catch(() => {});
      return next;
    };
    try {
      for (let next = receive(); ; ) {
        const found = await share.orDemand(next);
        if (found === 'end') throw unavailable('The server is receiving too many uploads just now.');
        if (found === 'store') {
          await store();
          continue;
        }
        if (found.done) break;
        for (const item of found.value) await batches.take(item);
        if (hold()) await store();
        next = receive();
      }
      await batches.end();
    } finally {
      await batches.settle();
      this.memory.close(share);
    }
  }
}

/** The problem of a failed upload; undefined for an error of our own. */
function toProblem(error: unknown): Problem | undefined {
  if (error instanceof SyntaxError) return invalid(`The body ${error.message}.`);
  return error instanceof Problem ? error : databaseProblem(error);
}

/** @throws Problem content-too-large after `limit` bytes */
async function* bounded(chunks: AsyncIterable<Buffer>, limit: number): AsyncGenerator<Buffer> {
  let length = 0;
  for await (const chunk of chunks) {
    length += chunk.length;
    if (length > limit) throw tooLarge(limit);
    yield chunk;
  }
}

async function inTransaction<T>(client: PoolClient, work: () => Promise<T>): Promise<T> {
  await client.query('BEGIN');
  try {
    const result = await work();
    await client.query('COMMIT');
    return result;
  } catch (error) {
    if (isOrderly(error)) await client.query('ROLLBACK').catch(() => {});
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
  if (rowCount === 0) throw notFound('There is no collection with this name.');
}
