import { createHash, type Hash } from 'node:crypto';
import { parseJson } from '../platform/http/json.js';
import { type Mistake, Problem } from '../platform/http/problem.js';
import { toMistakes } from '../platform/http/validation.js';
import { isOtherRequest } from '../platform/resource/idempotency.js';
import { type BulkReport, recordInputSchema } from './record.schema.js';
import type { Item } from './splitter.js';

/** Rows in one COPY: 5,000 were as fast as a single stream (0.97 against 1.08 of psql's \copy). */
const BATCH_ROWS = 5000;
/** Characters in one COPY, which bounds the memory of an upload of large records. */
const BATCH_LENGTH = 2_097_152;
const ERRORS_REPORTED = 1000;

/** How far an upload has come. A retry under the same Idempotency-Key goes on from here. */
export interface Progress {
  /** The number of items that are done, stored or refused. */
  items: number;
  /** SHA-256 of these items and their line numbers: a retry must begin with the same ones. */
  digest: Buffer | null;
  report: BulkReport;
  /** The upload was answered, so a retry must have no further items. */
  isFinished?: boolean;
}

/** Turns items into rows, and sends a batch of rows while it collects the next. */
export class Batches {
  private readonly report: BulkReport;
  private readonly hash: Hash | undefined;
  private rows: string[] = [];
  private length = 0;
  private items = 0;
  private sending: Promise<void> = Promise.resolve();
  private sendingLength = 0;
  private readonly now = new Date().toISOString();

  constructor(
    private readonly collectionId: string,
    /** The most bytes of an item, and of its `data`. */
    private readonly limits: { item: number; data: number },
    /** Stores rows in COPY's text format, together with the progress after them. */
    private readonly send: (text: string, progress: Progress) => Promise<void>,
    /** With an Idempotency-Key: the progress of earlier attempts. */
    private readonly begun?: Progress,
  ) {
    this.report = begun?.report ?? { inserted: 0, failed: 0, errors: [] };
    this.hash = begun && createHash('sha256');
  }

  /** How many characters are not stored yet. */
  get held(): number {
    return this.length + this.sendingLength;
  }

  get progress(): Progress {
    return { items: this.items, digest: this.hash?.copy().digest() ?? null, report: structuredClone(this.report) };
  }

  /** @throws Problem idempotency-key-reused when the upload is not the earlier one; the error of the batch before */
  async take({ line, bytes, isTooLong }: Item): Promise<void> {
    this.items++;
    this.hash?.update(`${line}\n`).update(bytes).update('\n');
    if (this.begun && this.items <= this.begun.items) {
      if (this.items === this.begun.items && !this.begun.digest?.equals(this.progress.digest as Buffer))
        throw isOtherRequest();
      return;
    }
    if (this.begun?.isFinished) throw isOtherRequest();
    const row = isTooLong ? tooLong('', this.limits.item) : toRow(bytes, this.now, this.limits.data);
    if (typeof row !== 'string') return this.fail(line, row);
    const text = `${this.collectionId}\t${row}\n`;
    this.rows.push(text);
    this.length += text.length;
    if (this.rows.length >= BATCH_ROWS || this.length >= BATCH_LENGTH) await this.flush();
  }

  /** Sends the last batch and waits for it. */
  async end(): Promise<void> {
    if (this.begun && this.items < this.begun.items) throw isOtherRequest();
    await this.store();
  }

  /** Sends the rows collected so far, and waits until they are stored. */
  async store(): Promise<void> {
    await this.flush();
    await this.sending;
  }

  /** Waits for the batch that is under way, whether it succeeds or fails. */
  async settle(): Promise<void> {
    await this.sending.catch(() => {});
  }

  private async flush(): Promise<void> {
    const count = this.rows.length;
    if (count === 0) return;
    await this.sending;
    // The rows are dropped at once, so that memory does not hold them twice.
    const text = this.rows.join('');
    this.rows = [];
    this.length = 0;
    this.sendingLength = text.length;
    const { progress } = this;
    progress.report.inserted += count;
    this.sending = this.send(text, progress).then(() => {
      this.report.inserted += count;
      this.sendingLength = 0;
    });
    // The next one to wait gets the error; until then it must not count as unhandled.
    this.sending.catch(() => {});
  }

  private fail(line: number, mistakes: Mistake[]): void {
    this.report.failed++;
    const room = Math.max(ERRORS_REPORTED - this.report.errors.length, 0);
    this.report.errors.push(...mistakes.slice(0, room).map((mistake) => ({ line, ...mistake })));
  }
}

const tooLong = (pointer: string, limit: number): Mistake[] => [{ pointer, detail: `is longer than ${limit} bytes` }];

/** A line in COPY's text format, or its mistakes. */
function toRow(bytes: Buffer, now: string, limit: number): string | Mistake[] {
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
  if (Buffer.byteLength(data) > limit) return tooLong('/data', limit);
  // JSON escapes control characters already, so only the backslash is special to COPY.
  return `${data.includes('\\') ? data.replaceAll('\\', '\\\\') : data}\t${record.data.occurredAt ?? now}`;
}
