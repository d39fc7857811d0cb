import { spawnSync } from 'node:child_process';

/** Debian's package of each program that tests need beside Node. */
const PACKAGES = { 'redis-server': 'redis-server' };

/**
 * Sees to it that a program is there: on the PATH, or as Debian's package where it may be installed.
 * @throws Error with the one command to run
 */
export function need(program: keyof typeof PACKAGES): string {
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

const isThere = (program: string) => spawnSync(program, ['--version']).error === undefined;
