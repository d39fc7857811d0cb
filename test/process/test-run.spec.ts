import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { started } from '../support/started.js';

const JEST = ['--experimental-vm-modules', 'node_modules/jest/bin/jest.js'];

/** A spec whose beforeAll fails while a Redis is running and a port is open, which it does not clean up. */
const SPEC = `
import { createServer } from 'node:net';
import { TestRedis } from '../support/redis.js';
beforeAll(async () => {
  const redis = await TestRedis.start();
  createServer().listen(0);
  const [, pid] = /process_id:(\\d+)/.exec(await redis.command('INFO', 'server'));
  process.stderr.write('Redis is ' + pid + '.');
  FAIL;
});
it('is never reached', () => {});
`;

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'floodgate-run-'));
  // PostgreSQL's own user must be able to enter it.
  chmodSync(folder, 0o755);
  file = `test/process/unfinished-${process.pid}.spec.ts`;
});
afterEach(() => {
  for (const made of [folder, file]) rmSync(made, { recursive: true, force: true });
});

/** Runs Jest on the spec. @param signal sent to it once Redis runs */
async function run(fail: string, signal?: NodeJS.Signals) {
  writeFileSync(file, SPEC.replace('FAIL', fail));
  const { TEST_DATABASE_URL: _, ...env } = process.env;
  const child = started(
    spawn(process.execPath, [...JEST, file], { env: { ...env, TMPDIR: folder }, stdio: ['ignore', 'ignore', 'pipe'] }),
  );
  let said = '';
  child.stderr.on('data', (chunk) => {
    said += chunk;
    if (signal && said.includes('Redis is')) child.kill(signal);
  });
  const code = await new Promise((resolve) => child.once('close', resolve));
  return { code, redis: Number(/Redis is (\d+)/.exec(said)?.[1]) };
}

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

it.each<[string, string, number, NodeJS.Signals | undefined]>([
  ['a beforeAll fails', `throw new Error('as may be')`, 1, undefined],
  ['it is interrupted', 'await new Promise(() => {})', 130, 'SIGINT'],
])('ends when %s, and leaves no PostgreSQL or other process behind', async (_what, fail, expected, signal) => {
  const { code, redis } = await run(fail, signal);
  expect([code, redis > 0, isThere(redis)]).toEqual([expected, true, false]);
  expect(readdirSync(folder).filter((name) => name.startsWith('floodgate'))).toEqual([]);
});
