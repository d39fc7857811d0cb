import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { freePort } from '../../scripts/embedded-postgres.js';
import { Client } from '../support/client.js';
import { endPrograms, type Program, pause, startMain } from '../support/process.js';

const isRoot = process.getuid?.() === 0;

let folder: string;
const dataFolders = new Set<string>();
const bystanders: ChildProcess[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'floodgate-test-'));
  chmodSync(folder, 0o755);
});
afterEach(async () => {
  await endPrograms();
  for (const bystander of bystanders.splice(0)) bystander.kill('SIGKILL');
  for (const data of dataFolders) {
    // A killed app leaves its PostgreSQL running.
    const pid = pidIn(data);
    if (pid !== undefined && isPostgres(pid)) process.kill(pid, 'SIGQUIT');
    rmSync(dirname(data), { recursive: true, force: true });
  }
  dataFolders.clear();
  rmSync(folder, { recursive: true, force: true });
});

/** The process id in PostgreSQL's own file, which exists as long as PostgreSQL runs. */
function pidIn(data: string): number | undefined {
  const file = join(data, 'postmaster.pid');
  return existsSync(file) ? Number.parseInt(readFileSync(file, 'utf8'), 10) : undefined;
}

function isPostgres(pid: number): boolean {
  try {
    return process.platform !== 'linux' || readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('postgres');
  } catch {
    return false;
  }
}

const start = (settings: Record<string, string> = {}): Program =>
  startMain({ NODE_ENV: 'development', PORT: '0', DATA_DIR: join(folder, 'data'), ...settings });

/** The data folder that the app logs. */
async function dataOf(program: Program): Promise<string> {
  const data = (await program.says(/PostgreSQL keeps its data in (\S+?)\.?\s/))[1] as string;
  dataFolders.add(data);
  return data;
}

const untilEnded = async (data: string): Promise<void> => {
  for (const deadline = Date.now() + 10_000; pidIn(data) !== undefined; await pause(50))
    if (Date.now() > deadline) throw new Error(`PostgreSQL still runs in ${data}`);
};

const PASSWORD = /first admin is (\S+), password (\S+)/;

it('brings its own PostgreSQL, prints and keeps the first password, and keeps the data across a restart', async () => {
  const first = start();
  const data = await dataOf(first);
  expect(data).toBe(join(folder, 'data', 'postgres'));
  const [, email = '', password = ''] = await first.says(PASSWORD);
  const file = join(folder, 'data', 'admin-password');
  expect([readFileSync(file, 'utf8'), statSync(file).mode & 0o777]).toEqual([`${password}\n`, 0o600]);
  const client = new Client(await first.url());
  const [, url] = await first.says(/PostgreSQL is at (\S+)/);
  const direct = new pg.Client({ connectionString: url });
  await direct.connect();
  expect((await direct.query('SELECT email FROM users')).rows).toEqual([{ email }]);
  await direct.end();
  const admin = await client.signIn(email, password);
  expect((await client.get('/health/ready')).status).toBe(200);
  expect((await admin.put('/api/v1/data/kept', { visibility: 'public' })).status).toBe(201);
  expect(readFileSync(join(data, 'PG_VERSION'), 'utf8').trim()).toBe('18');
  first.signal('SIGTERM');
  expect(await first.end()).toEqual({ code: 0, signal: null });
  expect(pidIn(data)).toBeUndefined();

  const second = start();
  const again = new Client(await second.url());
  expect((await again.get('/api/v1/data/kept')).body.name).toBe('kept');
  // Earlier tokens are still valid: the secrets were kept, too.
  const kept = new Client(again.url, admin.tokens);
  expect((await kept.get('/api/v1/users/me')).status).toBe(200);
  await again.signIn(email, password);
  expect(second.stdout + second.stderr).not.toMatch(/password/);
});

it('ends its PostgreSQL at a second signal', async () => {
  const program = start({ DRAIN_DELAY_MS: '30000' });
  const data = await dataOf(program);
  await program.url();
  program.signal('SIGINT');
  await program.says(/stopping/);
  program.signal('SIGINT');
  expect((await program.end(5000)).code).toBe(1);
  await untilEnded(data);
});

it('ends its PostgreSQL when the signal arrives during the start', async () => {
  const program = start();
  const data = await dataOf(program);
  program.signal('SIGTERM');
  expect((await program.end()).code).toBe(0);
  await untilEnded(data);
});

it('ends its PostgreSQL when another process takes its port meanwhile', async () => {
  const port = await freePort();
  const server = createServer();
  try {
    const program = start({ PORT: String(port) });
    const data = await dataOf(program);
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    expect((await program.end()).code).toBe(1);
    expect(program.stderr).toMatch(/^Port \d+ [^\n]*taken[^\n]*\n$/);
    await untilEnded(data);
  } finally {
    server.close();
  }
});

it('logs a failure with its request, and an invalid request with its mistakes but without its data', async () => {
  const program = start();
  await dataOf(program);
  const client = new Client(await program.url());
  const login = { email: 'ada.lovelace', pasword: 'of-her-own' };
  expect((await client.post('/api/v1/auth/login', login, { 'x-request-id': 'a-mistake' })).status).toBe(400);
  const [line] = await program.says(/^.*answered 400.*$/m);
  expect(line).toMatch(
    /INFO: answered 400: .*\/password is missing; \/pasword is not a known name.*\(request a-mistake\)/,
  );
  expect(program.stdout).not.toMatch(/lovelace|of-her-own/);
});

it('takes over the PostgreSQL that a killed app has left', async () => {
  const first = start();
  const data = await dataOf(first);
  const [, email = '', password = ''] = await first.says(PASSWORD);
  const admin = await new Client(await first.url()).signIn(email, password);
  await admin.put('/api/v1/data/orphaned', { visibility: 'public' });
  const orphan = pidIn(data);
  first.signal('SIGKILL');
  await first.end();
  expect(pidIn(data)).toBe(orphan);

  const second = start();
  const client = new Client(await second.url());
  expect((await client.get('/api/v1/data/orphaned')).status).toBe(200);
  expect(pidIn(data)).not.toBe(orphan);
  await client.signIn(email, password);
});

it('does not touch a process that has the old process id of PostgreSQL', async () => {
  const first = start();
  const data = await dataOf(first);
  await first.url();
  const file = join(data, 'postmaster.pid');
  const note = readFileSync(file, 'utf8');
  first.signal('SIGTERM');
  await first.end();
  const bystander = spawn('sleep', ['60'], { stdio: 'ignore' });
  bystanders.push(bystander);
  writeFileSync(file, note.replace(/^\d+/, String(bystander.pid)));

  await start().url();
  expect([bystander.exitCode, bystander.signalCode]).toEqual([null, null]);
});

it('refuses data that another app is using, in one sentence', async () => {
  const first = start();
  const data = await dataOf(first);
  const url = await first.url();
  const second = start();
  expect(await second.end()).toEqual({ code: 1, signal: null });
  expect(second.stderr).toMatch(/^[^\n]*in use by process \d+[^\n]*\n$/);
  expect(second.stderr).toContain(data);
  expect(second.stderr).toContain(String(first.pid));
  expect((await new Client(url).get('/health/ready')).status).toBe(200);
});

it('works below a folder that only its owner may enter, and logs the folder of the data', async () => {
  const closed = join(folder, 'closed');
  mkdirSync(closed, { mode: 0o700 });
  const settings = { DATA_DIR: join(closed, 'data') };
  const first = start(settings);
  const data = await dataOf(first);
  // PostgreSQL does not run as root, and its user cannot enter that folder.
  if (isRoot) expect(data).not.toContain(closed);
  else expect(data).toBe(join(closed, 'data', 'postgres'));
  expect(existsSync(join(data, 'PG_VERSION'))).toBe(true);
  const [, email = '', password = ''] = await first.says(PASSWORD);
  await new Client(await first.url()).signIn(email, password);
  first.signal('SIGTERM');
  expect((await first.end()).code).toBe(0);

  const second = start(settings);
  expect(await dataOf(second)).toBe(data);
  await new Client(await second.url()).signIn(email, password);
});
