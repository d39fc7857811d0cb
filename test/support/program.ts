import { spawnSync } from 'node:child_process';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Debian's package of each program that tests need beside Node; its release where older ones have none that will do; and the oldest version that does. */
const PACKAGES: Record<ProgramName, [name: string, release?: string | undefined, version?: string]> = {
  'redis-server': ['redis-server'],
  prometheus: ['prometheus'],
  promtool: ['prometheus'],
  // Any newer one runs on Debian 12. Before, its kustomize knew less than we ask of it.
  kubectl: ['kubectl', 'trixie', '1.27'],
  // Before, it lost prepared statements.
  pgbouncer: ['pgbouncer', 'trixie', '1.21'],
  // None that is older reads from a newer server.
  pg_dump: ['postgresql-client-18', 'forky', '18'],
  pg_restore: ['postgresql-client-18', 'forky', '18'],
  psql: ['postgresql-client-18', 'forky', '18'],
  openssl: ['openssl'],
  nginx: ['nginx-light'],
  haproxy: ['haproxy'],
  wrk: ['wrk'],
  chromium: ['chromium'],
  python3: ['python3-venv', undefined, '3.11'],
  // What a generated client is built on needs it.
  go: ['golang-go', 'forky', '1.26'],
  buildah: ['buildah'],
  podman: ['podman'],
  runc: ['runc'],
  debootstrap: ['debootstrap'],
};

type ProgramName =
  | 'redis-server'
  | 'prometheus'
  | 'promtool'
  | 'kubectl'
  | 'pgbouncer'
  | 'pg_dump'
  | 'pg_restore'
  | 'psql'
  | 'openssl'
  | 'nginx'
  | 'haproxy'
  | 'wrk'
  | 'chromium'
  | 'python3'
  | 'go'
  | 'buildah'
  | 'podman'
  | 'runc'
  | 'debootstrap';

/** Where packages of another release are, that cannot be among the system's. */
const BESIDE = '/usr/local/lib/floodgate-tests';

/**
 * Sees to it that a program is there: on the PATH, or as Debian's package where it may be installed.
 * @returns what to run
 * @throws Error with the one command to run
 */
export function need(program: ProgramName): string {
  const [name, release, version] = PACKAGES[program];
  const folder = join(BESIDE, `${name}-${version}`);
  const find = () => [program, join(folder, 'bin', program)].find((path) => isThere(path, version));
  const found = find();
  if (found) return found;
  if (process.getuid?.() === 0 && isThere('apt-get')) {
    const script = fileURLToPath(new URL('install.sh', import.meta.url));
    const options = release ? [release, ...(version ? [version, folder] : [])] : [];
    spawnSync('sh', [script, name, ...options], { stdio: 'ignore' });
    const installed = find();
    if (installed) return installed;
  }
  const on = release ? `Debian ${release} or newer` : 'Debian';
  throw new Error(`${program} is missing; on ${on}: apt-get install -y --no-install-recommends ${name}`);
}

/** For a suite whose program a laptop may lack: it is given where that is, or ''. It then says by name that it did not run. With CI=true that is a failure. */
export function describeWith(program: ProgramName, name: string, suite: (path: string) => void): void {
  let path = '';
  try {
    path = need(program);
  } catch (error) {
    if (process.env.CI === 'true') throw error;
    // Not by console: Jest shows nothing of what a file said whose tests are all skipped.
    process.stderr.write(`"${name}" did not run: ${(error as Error).message}\n`);
    describe.skip(name, () => suite(path));
    return;
  }
  describe(name, () => suite(path));
}

/** The arguments that print a program's version; Python's also fail where it cannot make virtual environments. */
const VERSION: Record<string, string[]> = {
  kubectl: ['version', '--client'],
  go: ['version'],
  python3: ['-c', 'import ensurepip, venv, platform; print(platform.python_version())'],
};

/** Whether a program can be run, and is no older than that. */
function isThere(path: string, version?: string): boolean {
  const { error, status, stdout } = spawnSync(path, VERSION[basename(path)] ?? ['--version'], { encoding: 'utf8' });
  if (error || version === undefined) return !error;
  if (status !== 0) return false;
  const [major, minor] = numbersOf(stdout);
  const [leastMajor, leastMinor] = numbersOf(version);
  return major > leastMajor || (major === leastMajor && minor >= leastMinor);
}

function numbersOf(text: string): [major: number, minor: number] {
  const [, major = 0, minor = 0] = /(\d+)(?:\.(\d+))?/.exec(text) ?? [];
  return [Number(major), Number(minor)];
}
