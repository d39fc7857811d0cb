import { spawnSync } from 'node:child_process';

/** Debian's package of each program that tests need beside Node. */
const PACKAGES = {
  'redis-server': 'redis-server',
  prometheus: 'prometheus',
  promtool: 'prometheus',
  kubectl: 'kubectl',
  openssl: 'openssl',
};

type ProgramName = keyof typeof PACKAGES;

/**
 * Sees to it that a program is there: on the PATH, or as Debian's package where it may be installed.
 * @throws Error with the one command to run
 */
export function need(program: ProgramName): string {
  if (isThere(program)) return program;
  const install = `apt-get install -y --no-install-recommends ${PACKAGES[program]}`;
  if (process.getuid?.() === 0 && isThere('apt-get')) {
    // Debian would start the service.
    const environment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
    spawnSync('sh', ['-c', `apt-get update -qq && ${install} -qq`], { stdio: 'ignore', env: environment });
    if (isThere(program)) return program;
  }
  throw new Error(`${program} is missing; on Debian: ${install}`);
}

/** For a suite whose program a laptop may lack: it then says by name that it did not run. With CI=true that is a failure. */
export function describeWith(program: ProgramName, name: string, suite: () => void): void {
  try {
    need(program);
  } catch (error) {
    if (process.env.CI === 'true') throw error;
    console.warn(`"${name}" did not run: ${(error as Error).message}`);
    describe.skip(name, suite);
    return;
  }
  describe(name, suite);
}

const isThere = (program: string) => spawnSync(program, ['--version']).error === undefined;
