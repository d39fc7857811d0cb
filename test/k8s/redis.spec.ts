import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { load } from 'js-yaml';
import { freePort } from '../../scripts/embedded-postgres.js';
import { describeWith } from '../support/program.js';
import { started } from '../support/started.js';
import type { Container, Workload } from './objects.js';

const run = promisify(execFile);
const PASSWORD = 'of-the-redis-that-is-deployed';

const [container] = (load(readFileSync('k8s/components/redis/stateful-set.yaml', 'utf8')) as Workload).spec.template
  .spec.containers as [Container];

/** Starts the container's process, and runs the work when it answers. */
async function withRedis(work: (pid: number, probe: (password: string) => Promise<string>) => Promise<void>) {
  const port = String(await freePort());
  const [shell = '', ...script] = container.command as string[];
  const { PATH = '' } = process.env;
  const child = started(
    spawn(shell, [...script, ...(container.args ?? []), '--port', port, '--bind', '127.0.0.1'], {
      env: { PATH, REDIS_PASSWORD: PASSWORD },
      stdio: 'ignore',
    }),
  );
  const ended = once(child, 'exit');
  const [cli = '', ...ping] = (container.livenessProbe as { exec: { command: string[] } }).exec.command;
  const probe = async (password: string) => {
    const timeout = (container.livenessProbe as { timeoutSeconds: number }).timeoutSeconds * 1000;
    const { stdout } = await run(cli, ['-p', port, ...ping], { env: { PATH, REDISCLI_AUTH: password }, timeout });
    return stdout;
  };
  try {
    for (let tries = 100; tries > 0 && !(await probe(PASSWORD).catch(() => '')); tries--)
      await new Promise(setImmediate);
    await work(child.pid as number, probe);
  } finally {
    child.kill('SIGCONT');
    child.kill('SIGTERM');
  }
  expect(await ended).toEqual([0, null]);
}

describeWith('redis-server', 'the Redis of components/redis', () => {
  it('requires its password, which is not among its arguments, and ends at SIGTERM', async () => {
    await withRedis(async (pid, probe) => {
      expect(await probe(PASSWORD)).toBe('PONG\n');
      await expect(probe('another')).rejects.toThrow();
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      expect(command).toContain('redis-server');
      expect(command).not.toContain(PASSWORD);
    });
  });

  it('fails its probes while it hangs, even though its port is open', async () => {
    await withRedis(async (pid, probe) => {
      process.kill(pid, 'SIGSTOP');
      await expect(probe(PASSWORD)).rejects.toThrow();
    });
  });
});
