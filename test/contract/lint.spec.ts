import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Checks a document with Redocly's recommended rules and our own (redocly.yaml), without using the network. */
function lint(file: string) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [
      'node_modules/@redocly/cli/bin/cli.js',
      'lint',
      file,
      '--config',
      'test/contract/redocly.yaml',
      '--format',
      'json',
    ],
    {
      encoding: 'utf8',
      env: { PATH: process.env.PATH, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true', CI: 'true' },
    },
  );
  if (!stdout.startsWith('{')) throw new Error(stderr || stdout);
  const problems: { ruleId: string; message: string }[] = JSON.parse(stdout).problems;
  return { status, problems: problems.map(({ ruleId, message }) => `${ruleId}: ${message}`) };
}

it('has a document without any error or warning of Redocly', () => {
  expect(lint('openapi.json')).toEqual({ status: 0, problems: [] });
});

it('finds an error answer that is not a problem document', () => {
  const folder = mkdtempSync(join(tmpdir(), 'floodgate-lint-'));
  const file = join(folder, 'openapi.json');
  writeFileSync(
    file,
    readFileSync('openapi.json', 'utf8').replaceAll('"application/problem+json"', '"application/json"'),
  );
  const { status, problems } = lint(file);
  rmSync(folder, { recursive: true });
  expect(status).toBe(1);
  expect(problems.join('\n')).toMatch(/operation-4xx-problem-details-rfc7807/);
});
