import { describeWith } from '../support/program.js';
import { INSTALLING_MS, JOURNEY, journeyOf, run } from './journey.js';

/** Compilers are thorough, and the client is long. */
const BUILDING_MS = 240_000;

describeWith('go', 'a client in Go', () => {
  beforeAll(async () => {
    await run('go', ['mod', 'download'], { cwd: 'test/clients/go' });
  }, INSTALLING_MS);

  it(
    'is made by oapi-codegen and does what clients do',
    async () => {
      const journey = await journeyOf('go', async (folder, url) => {
        const generate = ['-generate', 'types,client', '-package', 'main', '-o', 'api.go'];
        await run('go', ['tool', 'oapi-codegen', ...generate, `${url}/openapi.json`], { cwd: folder });
        return (await run('go', ['run', '.', url], { cwd: folder })).stdout;
      });
      expect(journey).toEqual(JOURNEY);
    },
    BUILDING_MS,
  );
});
