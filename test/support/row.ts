import { appendFileSync } from 'node:fs';
import { ROWS } from '../faults/rows.js';

/** The measurements of a test, ready to read: 'p99 during': '34 ms'. */
export type Figures = Record<string, string | number>;

/**
 * A test of a row of what Floodgate must survive. It prints its measurements, and appends them as one line of JSON to
 * the file that FAULTS_REPORT names.
 * @param number of the row
 * @param what the case of that row; '' when one test is the whole row
 */
export function row(number: number, what: string, work: () => Promise<Figures>, timeoutMs = 60_000): void {
  const { fault } = ROWS[number] as (typeof ROWS)[number];
  const name = what === '' ? fault : `${fault}: ${what}`;
  it(
    `row ${number}: ${name}`,
    async () => {
      const begun = Date.now();
      const figures = await work();
      const seen = Object.entries(figures).map(([of, figure]) => `${of} ${figure}`);
      process.stdout.write(`row ${number}: ${name}: ${seen.join(', ')}\n`);
      const report = process.env.FAULTS_REPORT;
      const line = { number, what, figures, seconds: Math.round((Date.now() - begun) / 1000) };
      if (report) appendFileSync(report, `${JSON.stringify(line)}\n`);
    },
    timeoutMs,
  );
}

/** The value that this part of them does not exceed: `quantile(times, 0.99)`. */
export function quantile(values: number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}

/** The value in milliseconds as a figure. */
export const inMs = (ms: number): string => `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
