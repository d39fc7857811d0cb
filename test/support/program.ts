import { spawnSync } from 'node:child_process';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The Debian package of each program that tests need besides Node, the release that has it if older ones do not, and the oldest usable version. */
const PACKAGES: Record<ProgramName, [name: string, release?: string | undefined, version?: string]> = {
  'redis-server': ['redis-server'],
  'redis-cli': ['redis-tools'],
  prometheus: ['prometheus'],
  promtool: ['prometheus'],
  // Newer ones run on Debian 12. The kustomize of older ones lacks features that we use.
  kubectl: ['kubectl', 'trixie', '1.27'],
  // Older ones lose prepared statements.
  pgbouncer: ['pgbouncer', 'trixie', '1.21'],
  // Older ones do not read from a newer server.
  pg_dump: ['postgresql-client-18', 'forky', '18'],
  pg_restore: ['postgresql-client-18', 'forky', '18'],
  psql: ['postgresql-client-18', 'forky', '18'],
  openssl: ['openssl'],
  nginx: ['nginx-light'],
  haproxy: ['haproxy'],
  wrk: ['wrk'],
  chromium: ['chromium'],
  python3: ['python3-venv', undefined, '3.11'],
  // A dependency of a generated client needs it.
  go: ['golang-go', 'forky', '1.26'],
  buildah: ['buildah'],
  podman: ['podman'],
  runc: ['runc'],
  debootstrap: ['debootstrap'],
};

type ProgramName =
  | 'redis-server'
  | 'redis-cli'
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

/** The folder of packages of another release, which cannot be installed with the system's. */
const BESIDE = '/usr/local/lib/floodgate-tests';

/**
 * Finds a program on the PATH, or installs its Debian package if that is possible.
 * @returns the program's path
 * @throws Error with the command to run
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

/** Declares a suite that gets the path of its program. Without the program it is skipped with a message, or fails with CI=true. */
export function describeWith(program: ProgramName, name: string, suite: (path: string) => void): void {
  let path = '';
  try {
    path = need(program);
  } catch (error) {
    if (process.env.CI === 'true') throw error;
    // Not with console: Jest hides the output of a file whose tests are all skipped.
    process.stderr.write(`"${name}" did not run: ${(error as Error).message}\n`);
    describe.skip(name, () => suite(path));
    return;
  }
  describe(name, () => suite(path));
}

/** The arguments that print a program's version; Python's also fail when it cannot make virtual environments. */
const VERSION: Record<string, string[]> = {
  kubectl: ['version', '--client'],
  go: ['version'],
  python3: ['-c', 'import ensurepip, venv, platform; print(platform.python_version())'],
};

/** Whether a program can be run, and is not older than this version. */
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
