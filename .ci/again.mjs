// What came of a run of Jest, and of what was run again of it, by Jest's reports in JSON:
// again.mjs failed FIRST             the files that failed in it, a line each
// again.mjs counts FIRST [SECOND]    "passed failed skipped": of each file in SECOND by that, of all others by FIRST
import { existsSync, readFileSync } from 'node:fs';
import { relative } from 'node:path';

const [what, ...reports] = process.argv.slice(2);
const files = new Map();
for (const report of reports.filter(existsSync))
  for (const file of JSON.parse(readFileSync(report, 'utf8')).testResults) files.set(file.name, file);

if (what === 'failed') {
  for (const { name, status } of files.values()) {
    if (status === 'failed') process.stdout.write(`${relative('', name)}\n`);
  }
} else {
  const tests = [...files.values()].flatMap(({ assertionResults }) => assertionResults);
  const count = (...statuses) => tests.filter(({ status }) => statuses.includes(status)).length;
  process.stdout.write(`${count('passed')} ${count('failed')} ${count('pending', 'skipped', 'todo')}\n`);
}
