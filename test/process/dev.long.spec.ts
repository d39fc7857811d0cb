import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { copyWithModule } from '../../scripts/copy-with-module.js';
import { freePort } from '../../scripts/embedded-postgres.js';
import { Client } from '../support/client.js';
import { pause } from '../support/process.js';
import { started } from '../support/started.js';

const CLEAR_SCREEN = ['\u001bc', '\u001b[2J', '\u001b[3J'];
const CONTROLLER = 'src/health/health.controller.ts';
const FAILING = `
  @Get('failing')
  @Anonymous()
  @Operation('getFailing', 'Fail', { answer: 'Never.', body: healthSchema })
  failing(): never {
    throw new Error('as it is meant to');
  }
`;

let folder: string;
let child: ChildProcess;
let output = '';

async function untilSaid(pattern: RegExp, times = 1): Promise<RegExpExecArray> {
  for (const deadline = Date.now() + 240_000; Date.now() < deadline && child.exitCode === null; await pause(100)) {
    const found = [...output.matchAll(new RegExp(pattern, 'g'))];
    if (found.length >= times) return found.at(-1) as RegExpExecArray;
  }
  throw new Error(`${pattern} was not said ${times} times:\n${output}`);
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'floodgate-dev-'));
  // When the tests run as root, PostgreSQL runs as a user of its own, who must be able to enter the folder.
  chmodSync(folder, 0o755);
  await copyWithModule({ folder, files: { '.env': `PORT=${await freePort()}\n` } });
}, 240_000);
afterAll(async () => {
  if (child?.pid && child.exitCode === null) {
    process.kill(-child.pid, 'SIGINT');
    await new Promise((resolve) => child.once('exit', resolve));
  }
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

it('npm run dev reads .env, picks up a new route, names lines of src, and keeps the screen and its inspector', async () => {
  const { PATH = '', HOME = '' } = process.env;
  const inspector = `127.0.0.1:${await freePort()}`;
  const parameters = ['run', 'dev', '--', '--debug', inspector];
  child = started(spawn('npm', parameters, { cwd: folder, env: { PATH, HOME }, detached: true }));
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (text) => {
      output += text;
    });
  const [, url = ''] = await untilSaid(/listens on (http:\S+);/);
  expect(readFileSync(join(folder, '.env'), 'utf8')).toBe(`PORT=${new URL(url).port}\n`);

  const file = join(folder, CONTROLLER);
  const text = readFileSync(file, 'utf8').replace(/\n(?=\n {2}private postgres)/, `\n${FAILING}`);
  writeFileSync(file, text);
  await untilSaid(/listens on/, 2);
  const client = new Client(url);
  const answer = await client.get('/health/failing');
  expect(answer.status).toBe(500);
  expect(Object.keys((await client.get('/openapi.json')).body.paths)).toContain('/health/failing');
  const line = text.split('\n').findIndex((one) => one.includes('as it is meant to')) + 1;
  await untilSaid(new RegExp(`${CONTROLLER}:${line}:`));
  await untilSaid(new RegExp(`answered 500: .*\\(request ${answer.body.requestId}\\)`));
  expect(output.match(/Debugger listening on/g)).toHaveLength(2);
  // The first process ends before the second one begins.
  expect(output.indexOf('Stopped.')).toBeLessThan(output.lastIndexOf('Debugger listening on'));
  expect(output).not.toContain('address already in use');
  for (const code of CLEAR_SCREEN) expect(output).not.toContain(code);
}, 600_000);
