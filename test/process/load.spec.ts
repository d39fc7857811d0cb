import { spawnSync } from 'node:child_process';
import { run } from '../clients/journey.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { endPrograms, type Program, startMain } from '../support/process.js';

let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase();
});
afterEach(() => endPrograms());
afterAll(() => database.drop());

/** Runs a short load of this kind on a process in development. @returns the load's output */
async function loadOf(kind: string, settings: Record<string, string> = {}): Promise<{ app: Program; printed: string }> {
  const app = startMain({ NODE_ENV: 'development', PORT: '0', DATABASE_URL: database.url, ...settings });
  const [, url = ''] = await app.says(/listens on (http:\S+);/);
  const options = ['--seconds', '2', '--connections', '4', '--url', url];
  return { app, printed: (await run(process.execPath, ['load/run.mjs', kind, ...options])).stdout };
}

const count = (text = '') => Number(text.replaceAll(',', ''));
const collections = async () => (await database.query('SELECT count(*)::int AS n FROM collections'))[0]?.n;

it.each([
  ['reads', [200], 0],
  ['writes', [201], 1],
  ['mix', [200, 201], 0.1],
] as const)(
  '%s get good answers, show figures every second, and leave no data behind',
  async (kind, statuses, share) => {
    const { app, printed } = await loadOf(kind, { RATE_LIMIT_REQUESTS: '1000000' });
    expect(printed.match(/^ +\d+ s +[\d,]+\/s +p50 .* ms +p99 .* ms/gm)?.length).toBeGreaterThan(0);
    const [, good, told = ''] = /^Answered well: ([\d,]+), .*\nBy status: (.*)$/m.exec(printed) ?? [];
    expect(printed).not.toContain('429');
    const answers: Record<string, number> = {};
    for (const [, status = '', n] of told.matchAll(/(\d+): ([\d,]+)/g)) answers[status] = count(n);
    expect(Object.keys(answers).map(Number)).toEqual(statuses);
    expect(count(good)).toBe(Object.values(answers).reduce((sum, n) => sum + n, 0));
    expect(count(good)).toBeGreaterThan(50);
    expect((answers[201] ?? 0) / count(good)).toBeCloseTo(share, 1);
    expect(await collections()).toBe(0);
    expect(app.stdout).not.toContain('gets 429');
  },
);

it('a load over the limit explains its 429s, and so does the log of development, once', async () => {
  const { app, printed } = await loadOf('reads', { RATE_LIMIT_REQUESTS: '150' });
  expect(printed).toMatch(/^429: a caller may send 150 requests in 60 s/m);
  expect(printed).toMatch(/^By status: 200: [\d,]+ +429: [\d,]+$/m);
  expect(app.stdout.match(/gets 429\. For a load test: RATE_LIMIT_REQUESTS=\d+ npm start/g)).toHaveLength(1);
});

it.each([
  [['nothing'], 'Say which load: reads, writes, mix.'],
  [['--seconds', '0'], '--seconds is a whole number from 1 to 600.'],
  [['--connections', 'many'], '--connections is a whole number from 1 to 1000.'],
  [
    ['--url', 'http://127.0.0.1:65535'],
    'Floodgate does not answer at http://127.0.0.1:65535 (ECONNREFUSED): run npm start first.',
  ],
])('%j is refused in one sentence', (parameters, sentence) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['load/run.mjs', ...parameters], { encoding: 'utf8' });
  expect({ status, stdout, stderr }).toEqual({ status: 1, stdout: '', stderr: `${sentence}\n` });
});
