import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const bundle = fileURLToPath(new URL('../../dist/bundle.cjs', import.meta.url));
const main = readFileSync(new URL('../../src/main.ts', import.meta.url), 'utf8').split('\n');

it('names lines of the source in a stack of the bundle', () => {
  // The test makes an error at the place where main reports a failed start, to get its stack.
  const code = `
    process.exit = () => {};
    process.stderr.write = () => process.stdout.write(new Error('made here').stack);
    require(${JSON.stringify(bundle)});`;
  const { stdout } = spawnSync(process.execPath, ['-e', code], { env: { NODE_ENV: 'none' }, encoding: 'utf8' });
  // The bundler numbers functions of the same name.
  const [, line] = /at fail\d* \(src\/main\.ts:(\d+):\d+\)/.exec(stdout) ?? [];
  expect(main[Number(line) - 1]).toContain('process.stderr.write');
});
