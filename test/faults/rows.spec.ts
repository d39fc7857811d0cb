import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROWS } from './rows.js';

const FOLDER = 'test/faults';

const tested = readdirSync(FOLDER)
  .filter((file) => file.endsWith('.spec.ts'))
  .flatMap((file) => [...readFileSync(join(FOLDER, file), 'utf8').matchAll(/^\s*row\(\s*(\d+),/gm)])
  .map(([, number]) => Number(number));

it('has tests for each row, and none for a row that does not exist', () => {
  expect([...new Set(tested)].sort((a, b) => a - b)).toEqual(Object.keys(ROWS).map(Number));
});
