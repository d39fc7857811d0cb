import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** Debian's package of each program that tests need beside Node, and its release where older ones have none that will do. */
const PACKAGES: Record<ProgramName, [name: string, release?: string]> = {
  'redis-server': ['redis-server'],
  prometheus: ['prometheus'],
  promtool: ['prometheus'],
  // Any newer one runs on Debian 12.
  kubectl: ['kubectl', 'trixie'],
  openssl: ['openssl'],
  nginx: ['nginx-light'],
  wrk: ['wrk'],
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
  | 'openssl'
  | 'nginx'
  | 'wrk'
  | 'buildah'
  | 'podman'
  | 'runc'
  | 'debootstrap';

/**
 * Sees to it that a program is there: on the PATH, or as Debian's package where it may be installed.
 * @throws Error with the one command to run
 */
export function need(program: ProgramName): string {
  if (isThere(program)) return program;
  const [name, release] = PACKAGES[program];
  if (process.getuid?.() === 0 && isThere('apt-get')) {
    spawnSync('sh', [fileURLToPath(new URL('install.sh', import.meta.url)), name, release ?? ''], { stdio: 'ignore' });
    if (isThere(program)) return program;
  }
  const on = release ? `Debian ${release} or newer` : 'Debian';
  throw new Error(`${program} is missing; on ${on}: apt-get install -y --no-install-recommends ${name}`);
}

/** For a suite whose program a laptop may lack: it then says by name that it did not run. With CI=true that is a failure. */
export function describeWith(program: ProgramName, name: string, suite: () => void): void {
  try {
    need(program);
  } catch (error) {
    if (process.env.CI === 'true') throw error;
    // Not by console: Jest shows nothing of what a file said whose tests are all skipped.
    process.stderr.write(`"${name}" did not run: ${(error as Error).message}\n`);
    describe.skip(name, suite);
    return;
  }
  describe(name, suite);
}

function isThere(program: string): boolean {
  if (program !== 'kubectl') return spawnSync(program, ['--version']).error === undefined;
  // Before 1.27, its kustomize knew less than we ask of it.
  const { stdout } = spawnSync('kubectl', ['version', '--client', '--output=json'], { encoding: 'utf8' });
  return Number(/"minor": "(\d+)/.exec(stdout ?? '')?.[1]) >= 27;
}
