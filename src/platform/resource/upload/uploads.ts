import type { Readable } from 'node:stream';
import { Inject, Injectable, Logger } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { PoolClient } from 'pg';
import type { z } from 'zod';
import { CONFIG, type Config } from '../../config.token.js';
import { Database } from '../../database/database.js';
import { databaseProblem, isOrderly } from '../../database/database-problem.js';
import { Answer } from '../../http/answer.js';
import { invalid, Problem, tooLarge, unavailable } from '../../http/problem.js';
import { toMistakes } from '../../http/validation.js';
import type { CopyIn } from '../copy-in.js';
import { fingerprintOf, type IdempotencyKey, REPLAYED } from '../idempotency.js';
import type { Given } from '../table.js';
import { Batches } from './batches.js';
import { Begun, type Item, splitArray, splitLines } from './splitter.js';
import { UploadKeys } from './upload-keys.js';
import { UploadMemory } from './upload-memory.js';

/** An upload as it arrives. */
export interface Upload {
  /** Its body is a stream of NDJSON or of one JSON array. */
  request: FastifyRequest;
  /** Nothing is stored unless all lines are valid. */
  atomic: boolean;
  /** Aborted, with the problem, when the caller may no longer write. */
  allowed: AbortSignal;
  key?: IdempotencyKey | undefined;
}

/** Where an upload's rows go. */
export interface Destination<T> {
  /** What it is called in the log. */
  name: string;
  rows: CopyIn<T>;
  /** The schema of a line. */
  input: z.ZodType<object>;
  /** What every row has, beside what its line says: its owner, or its parent. */
  values: Given<T>;
}

/** The state of an upload's Idempotency-Key: the progress of earlier attempts, and the lease on it until it is finished. */
type Claimed = Partial<Awaited<ReturnType<UploadKeys['claim']>>>;

/** Runs work in a transaction: one for each piece of work, or the same for all. */
type Within = <T>(work: (client: PoolClient) => Promise<T>) => Promise<T>;

/** Streams uploads into PostgreSQL by COPY, storing a batch while it reads the next. */
@Injectable()
export class Uploads {
  private readonly logger = new Logger(Uploads.name);
  private readonly memory = new UploadMemory();
  private readonly keys: UploadKeys;

  constructor(
    private readonly database: Database,
    @Inject(CONFIG) private readonly config: Config,
  ) {
    this.keys = new UploadKeys(database, config.IDEMPOTENCY_LEASE_MS);
  }

  /**
   * Answers with a BulkReport, which may be that of an earlier request with the same key.
   * @throws Problem content-too-large beyond BULK_LIMIT_BYTES, invalid-request when the body is no array,
   *   unprocessable-content when an atomic upload has a bad line, that of a parent that is deleted meanwhile, conflict
   *   and idempotency-key-reused as for any request with a key
   */
  async load<T>(destination: Destination<T>, upload: Upload): Promise<Answer> {
    const { request, atomic, key } = upload;
    if (!request.headers['content-type']) throw invalid('The body is missing.');
    const { table, options } = destination.rows;
    const parentId = options.parent && String(destination.values[options.parent.property as keyof T]);
    const what = parentId === undefined ? `bulk ${table.name}` : 'bulk';
    const values = Object.values(destination.values).map(String);
    const fingerprint = fingerprintOf(what, ...values, isLines(request) ? 'lines' : 'array', String(atomic));
    const claimed: Claimed = key ? await this.keys.claim(key, parentId ?? null, fingerprint) : {};
    const isReplayed = claimed.begun?.isFinished ?? false;
    const connected = <R>(pool: 'pool' | 'streams', work: (client: PoolClient) => Promise<R>) =>
      this.database.client(pool, (client) => inTransaction(client, () => work(client)));
    try {
      const json =
        atomic && !isReplayed
          ? await connected('streams', (client) => this.store(destination, upload, claimed, (work) => work(client)))
          : await this.store(destination, upload, claimed, (work) => connected('pool', work));
      return new Answer(json, { headers: isReplayed ? REPLAYED : {} });
    } finally {
      await claimed.held?.release();
    }
  }

  private async store<T>(
    { name, rows, input, values }: Destination<T>,
    { request, atomic, allowed }: Upload,
    { begun, held }: Claimed,
    within: Within,
  ): Promise<string> {
    // An item may be as long as the body of a request for a single row.
    const { BULK_LIMIT_BYTES, BODY_LIMIT_BYTES } = this.config;
    const toRow = (value: unknown) => {
      const line = input.safeParse(value);
      return line.success ? rows.line({ ...line.data, ...values }) : toMistakes(line.error.issues);
    };
    const batches = new Batches(
      BODY_LIMIT_BYTES,
      toRow,
      async (text, after) => {
        allowed.throwIfAborted();
        // After a bad line, the rest of an atomic upload is only checked.
        if (atomic && after(new Map()).report.failed > 0) return new Map();
        return within(async (client) => {
          const refusals = await rows.store(client, text, values);
          if (!atomic) await held?.save(client, after(refusals));
          return refusals;
        });
      },
      begun,
    );
    try {
      const item = new Begun(BODY_LIMIT_BYTES);
      const split = isLines(request) ? splitLines : splitArray;
      const items = split(bounded(request.body as Readable, BULK_LIMIT_BYTES), item);
      await this.takeAll(items, batches, item, allowed);
      // An atomic upload commits after this, so its caller is checked once more.
      allowed.throwIfAborted();
    } catch (error) {
      const { inserted } = batches.progress.report;
      if (!atomic && !begun?.isFinished)
        this.logger.warn(`A bulk upload to ${name} ended early, with ${inserted} records stored.`);
      const problem = toProblem(error);
      // Here `inserted` would count the records of another request with the same key.
      if (!problem || problem.type === 'idempotency-key-reused') throw error;
      throw problem.with({ inserted: atomic ? 0 : inserted }, error);
    }
    const { progress } = batches;
    const { report } = progress;
    // PostgreSQL refuses a line later than the schema.
    report.errors.sort((one, other) => one.line - other.line);
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

const isLines = ({ headers }: FastifyRequest) => /^\s*application\/x-ndjson/i.test(headers['content-type'] ?? '');

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
