import { startApp, type TestApp } from '../support/app.js';
import { describeWith } from '../support/program.js';
import { INSTALLING_MS, run } from './journey.js';

/** k6 is large, and is compiled once. */
const BUILDING_MS = 600_000;

describeWith('go', 'k6', () => {
  const inK6 = { cwd: 'test/clients/k6' };
  let app: TestApp;
  let k6: string;
  beforeAll(async () => {
    await run('go', ['mod', 'download'], inK6);
    k6 = (await run('go', ['tool', '-n', 'k6'], inK6)).stdout.trim();
    app = await startApp();
  }, INSTALLING_MS + BUILDING_MS);
  afterAll(() => app?.close());

  it.each(['reads', 'writes', 'mix'])('gets only the expected answers to load/%s.js', async (name) => {
    const settings = { BASE_URL: app.url, VUS: '4', DURATION: '2s' };
    const variables = Object.entries(settings).flatMap(([key, value]) => ['-e', `${key}=${value}`]);
    const { stdout } = await run(k6, ['run', '--quiet', '--no-color', ...variables, `load/${name}.js`]);
    expect(stdout).toMatch(/http_req_failed\S*: 0\.00%/);
    const [, checks = '0'] = /checks_total\S*: (\d+)/.exec(stdout) ?? [];
    expect(Number(checks)).toBeGreaterThan(50);
    expect(await app.database.query('SELECT count(*)::int AS n FROM collections')).toEqual([{ n: 0 }]);
  });
});
