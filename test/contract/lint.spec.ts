import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Redocly's verdict on a document. Nothing is asked of the internet. */
function lint(file: string): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [
      'node_modules/@redocly/cli/bin/cli.js',
      'lint',
      '--config',
      'test/contract/redocly.yaml',
      '--format',
      'summary',
      file,
    ],
    { encoding: 'utf8', env: { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' } },
  );
  return { status, output: stdout + stderr };
}

it('finds no error and no warning in openapi.json', () => {
  const { status, output } = lint('openapi.json');
  expect(output).not.toMatch(/error|warning/i);
  expect(status).toBe(0);
});

it('would find a refusal that is no problem document', () => {
  const folder = mkdtempSync(join(tmpdir(), 'floodgate-lint-'));
  const bad = readFileSync('openapi.json', 'utf8').replaceAll('application/problem+json', 'application/json');
  writeFileSync(join(folder, 'openapi.json'), bad);
  const { status, output } = lint(join(folder, 'openapi.json'));
  rmSync(folder, { recursive: true });
  expect(output).toMatch(/operation-4xx-problem-details-rfc7807/);
  expect(status).not.toBe(0);
});
