import { join } from 'node:path';
import { describeWith } from '../support/program.js';
import { INSTALLING_MS, installed, JOURNEY, journeyOf, run } from './journey.js';

describeWith('python3', 'a client in Python', () => {
  let bin: string;
  beforeAll(async () => {
    bin = await installed('openapi-python-client==0.29.1');
  }, INSTALLING_MS);

  it('is made by openapi-python-client and does what clients do', async () => {
    const env = { PATH: `${bin}:${process.env.PATH}` };
    const journey = await journeyOf('python', async (folder, url) => {
      const generate = ['generate', '--url', `${url}/openapi.json`, '--meta', 'none', '--output-path', 'floodgate'];
      const { stderr } = await run('openapi-python-client', generate, { cwd: folder, env });
      // All that it cannot do: it knows no NDJSON.
      expect(stderr.match(/^WARNING .+/gm)).toEqual([
        expect.stringContaining('POST /api/v1/data/{collection}/records/bulk'),
        expect.stringContaining('GET /api/v1/data/{collection}/records/export'),
      ]);
      return (await run(join(bin, 'python'), ['main.py', url], { cwd: folder })).stdout;
    });
    expect(journey).toEqual(JOURNEY);
  });
});
