import { createHash, type Hash } from 'node:crypto';
import { parseJson } from '../../http/json.js';
import { type Mistake, Problem } from '../../http/problem.js';
import type { Refusals } from '../copy-in.js';
import { isOtherRequest } from '../idempotency.js';
import type { Item } from './splitter.js';
import type { BulkReport } from './upload.schema.js';

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
  /** The line number of each row. */
  private lines: number[] = [];
  private length = 0;
  private items = 0;
  private sending: Promise<void> = Promise.resolve();
  private sendingLength = 0;

  constructor(
    /** The most bytes of an item. */
    private readonly limit: number,
    /** An item's value in COPY's text format, or its mistakes. */
    private readonly toRow: (value: unknown) => string | Mistake[],
    /** Stores rows, together with the progress after them. */
    private readonly send: (text: string, after: (refusals: Refusals) => Progress) => Promise<Refusals>,
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
    const row = isTooLong ? [{ pointer: '', detail: `is longer than ${this.limit} bytes` }] : this.rowOf(bytes);
    if (typeof row !== 'string') return fail(this.report, line, row);
    this.rows.push(row);
    this.lines.push(line);
    this.length += row.length;
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
    const { lines } = this;
    if (lines.length === 0) return;
    await this.sending;
    // The rows are dropped at once, so that memory does not hold them twice.
    const text = this.rows.join('');
    this.rows = [];
    this.lines = [];
    this.length = 0;
    this.sendingLength = text.length;
    const { progress } = this;
    // A transaction may be tried again, and each attempt counts from here.
    const after = (refusals: Refusals) => {
      const report = structuredClone(progress.report);
      count(report, lines, refusals);
      return { ...progress, report };
    };
    this.sending = this.send(text, after).then((refusals) => {
      count(this.report, lines, refusals);
      this.sendingLength = 0;
    });
    // The next one to wait gets the error; until then it must not count as unhandled.
    this.sending.catch(() => {});
  }

  private rowOf(bytes: Buffer): string | Mistake[] {
    try {
      return this.toRow(parseJson(bytes, 'The line'));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      return (error.members.errors as Mistake[] | undefined) ?? [{ pointer: '', detail: error.detail }];
    }
  }
}

/** Counts the rows of a batch in a report. */
function count(report: BulkReport, lines: number[], refusals: Refusals): void {
  report.inserted += lines.length - refusals.size;
  for (const [place, detail] of refusals) fail(report, lines[place] as number, [{ pointer: '', detail }]);
}

function fail(report: BulkReport, line: number, mistakes: Mistake[]): void {
  report.failed++;
  const room = Math.max(ERRORS_REPORTED - report.errors.length, 0);
  report.errors.push(...mistakes.slice(0, room).map((mistake) => ({ line, ...mistake })));
}
