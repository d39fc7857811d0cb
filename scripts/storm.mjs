// Runs storms, one after another, each from a seed of its own, and says in a line for each what came of it:
// npm run test:storm -- [--seeds 20] [--from SEED] [--seconds 150] [--report]
// Seeds go up from the first one, which is drawn if it is not given; --report writes the table to docs/storms.md.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1' },
    from: { type: 'string', default: String(Math.floor(Math.random() * 1_000_000)) },
    seconds: { type: 'string', default: '150' },
    report: { type: 'boolean', default: false },
  },
});
const first = Number(values.from);
const folder = mkdtempSync(join(tmpdir(), 'floodgate-storm-'));
const jest = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning', 'node_modules/jest/bin/jest.js'];
const which = ['--testPathIgnorePatterns', '/node_modules/', '--testPathPatterns', 'test/faults/storm'];
const lines = [];
try {
  for (let seed = first; seed < first + Number(values.seeds); seed++) {
    const file = join(folder, `${seed}.json`);
    const env = { ...process.env, STORM_SEED: String(seed), STORM_SECONDS: values.seconds, STORM_REPORT: file };
    const { status, stdout, stderr } = spawnSync(process.execPath, [...jest, ...which], {
      env,
      encoding: 'utf8',
      maxBuffer: 2 ** 28,
    });
    const figures = status === 0 ? JSON.parse(readFileSync(file, 'utf8')).figures : undefined;
    const said = figures ? Object.entries(figures).map(([of, figure]) => `${of} ${figure}`) : [stdout, stderr];
    process.stdout.write(`${seed}: ${status === 0 ? 'well' : 'NOT WELL'}: ${said.join(', ')}\n`);
    if (figures) lines.push(figures);
    else process.exitCode = 1;
  }
  if (values.report && process.exitCode !== 1) writeFileSync('docs/storms.md', report());
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function report() {
  const names = Object.keys(lines[0]);
  const rows = [names, names.map(() => '---'), ...lines.map((figures) => names.map((name) => figures[name]))];
  return `# Results of storms

In a storm, many faults of all kinds hit two replicas, their Redis, their PostgreSQL and the networks between them at the
same time. Meanwhile callers use every part of the API, and check every promise that it made to them: see
test/faults/storm.long.spec.ts. The seed decides which faults happen, when and for how long. Followers of change feeds come back
to the other replica whenever their streams end, and receivers of webhooks hang, reset and refuse now and then.
The table has the last run of \`npm run test:storm -- --report\`. No acknowledged write was missing or stored twice, nobody
saw data that they may not read, no answer was a 500, and nothing was left over. Every follower and receiver was told of each
committed change, of one record in order, no follower of a change that it may not read, and no job was lost.

Storms have found two bugs, and each now has its own test. A reset in the middle of the first connection's statement ended
the process (row 12 of [faults](faults.md)). A process that stopped waited until all records of a deleted collection were
removed (test/process/stop.spec.ts).

${rows.map((row) => `| ${row.join(' | ')} |`).join('\n')}
`;
}
