import { createHash, type Hash } from 'node:crypto';
import { parseJson } from '../platform/http/json.js';
import { type Mistake, Problem } from '../platform/http/problem.js';
import { toMistakes } from '../platform/http/validation.js';
import { isOtherRequest } from '../platform/resource/idempotency.js';
import { type BulkReport, recordInputSchema } from './record.schema.js';
import type { Item } from './splitter.js';

/** Rows that one COPY takes: 5,000 were as fast as one stream of all (0.97 against 1.08 of psql's \copy). */
const BATCH_ROWS = 5000;
/** A batch of large records is sent earlier: this bounds the memory of one upload, in characters. */
const BATCH_LENGTH = 2_097_152;
const ERRORS_REPORTED = 1000;

/** How far an upload has come: what a retry under the same Idempotency-Key goes on from. */
export interface Progress {
  /** Items that are done, good or bad. */
  items: number;
  /** SHA-256 of them, with their places: a retry must begin with the very same. */
  digest: Buffer | null;
  report: BulkReport;
  /** It was answered: a retry must end there too. */
  isFinished?: boolean;
}

/** Makes rows of items and sends them off, one batch at a time, while the next is being collected. */
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
    /** Bytes of the longest item, and of the longest `data` in one. */
    private readonly limits: { item: number; data: number },
    /** Stores rows in COPY's text format, and the progress that is made with them. */
    private readonly send: (text: string, progress: Progress) => Promise<void>,
    /** Of an upload under an Idempotency-Key: where it goes on. */
    private readonly begun?: Progress,
  ) {
    this.report = begun?.report ?? { inserted: 0, failed: 0, errors: [] };
    this.hash = begun && createHash('sha256');
  }

  /** What is not stored yet, in characters. */
  get held(): number {
    return this.length + this.sendingLength;
  }

  /** What has been stored and refused so far. */
  get progress(): Progress {
    return { items: this.items, digest: this.hash?.copy().digest() ?? null, report: structuredClone(this.report) };
  }

  /** @throws Problem idempotency-key-reused when this is not the upload that was begun; what the batch before failed with */
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

  /** Sends what is left and waits for it. */
  async end(): Promise<void> {
    if (this.begun && this.items < this.begun.items) throw isOtherRequest();
    await this.store();
  }

  /** Sends what there is, and waits for it. */
  async store(): Promise<void> {
    await this.flush();
    await this.sending;
  }

  /** Waits for the batch that is under way, however it ends. */
  async settle(): Promise<void> {
    await this.sending.catch(() => {});
  }

  private async flush(): Promise<void> {
    const count = this.rows.length;
    if (count === 0) return;
    await this.sending;
    // The rows are not needed beside their text.
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
    // Whoever waits next meets the failure; until then it must not count as unhandled.
    this.sending.catch(() => {});
  }

  private fail(line: number, mistakes: Mistake[]): void {
    this.report.failed++;
    const room = Math.max(ERRORS_REPORTED - this.report.errors.length, 0);
    this.report.errors.push(...mistakes.slice(0, room).map((mistake) => ({ line, ...mistake })));
  }
}

const tooLong = (pointer: string, limit: number): Mistake[] => [{ pointer, detail: `is longer than ${limit} bytes` }];

/** A line as COPY's text format has it, or what is wrong with it. */
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
  // JSON has its control characters escaped already: only the backslash means something to COPY.
  return `${data.includes('\\') ? data.replaceAll('\\', '\\\\') : data}\t${record.data.occurredAt ?? now}`;
}
