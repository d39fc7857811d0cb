// Runs every test of what must be survived, the long ones as well; with --report it writes what was seen to docs/faults.md:
// npm run test:faults [-- --report] [-- any option of Jest]
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROWS } from '../test/faults/rows.ts';

const folder = mkdtempSync(join(tmpdir(), 'floodgate-faults-'));
const file = join(folder, 'report.jsonl');
const isReport = process.argv.includes('--report');
const options = process.argv.slice(2).filter((option) => option !== '--report');
writeFileSync(file, '');
try {
  const jest = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning', 'node_modules/jest/bin/jest.js'];
  const which = [
    '--reporters=default',
    '--testPathIgnorePatterns',
    '/node_modules/',
    '--testPathPatterns',
    'test/faults',
  ];
  // One at a time: what one of them measures is not to be the load of another.
  const { status } = spawnSync(process.execPath, [...jest, ...which, '--runInBand', ...options], {
    stdio: 'inherit',
    env: { ...process.env, FAULTS_REPORT: file },
  });
  process.exitCode = status ?? 1;
  if (isReport && status === 0) writeFileSync('docs/faults.md', report(readFileSync(file, 'utf8')));
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** @param lines of JSON, one for each test, see test/support/row.ts */
function report(lines) {
  const seen = lines
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const row = ([number, { fault, mustBe }]) => {
    const tests = seen.filter((test) => test.number === Number(number));
    const figures = tests.map(({ what, figures }) => {
      const said = Object.entries(figures).map(([of, figure]) => `${of} ${figure}`);
      return `${what ? `${what}: ` : ''}${said.join(', ')}`;
    });
    return `| ${number} | ${fault} | ${mustBe} | ${figures.join('<br>').replaceAll('|', '\\|')} |`;
  };
  return `# What Floodgate survives

Each row is a test in test/faults on real processes: PostgreSQL, Redis and the built app. The last column shows the figures
of the last run of \`npm run test:faults -- --report\`, on ${new Date().toISOString().slice(0, 10)} with Node
${process.version}, ${cpus().length} cores of ${cpus()[0].model.trim()} and Linux ${release()}. Machines are noisy, so the tests
assert only counts, order and bounds that a sound system keeps. "without" is the figure of the same
test without the fault.

| # | fault or input | what must be seen | what was seen |
|---|---|---|---|
${Object.entries(ROWS).map(row).join('\n')}
`;
}
