import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../scripts/embedded-postgres.js';
import { pause } from './process.js';
import { need } from './program.js';
import { started } from './started.js';

/** The folder of an nginx's files, and its port on the loopback address. */
interface Place {
  folder: string;
  port: number;
}

export interface Nginx {
  url: string;
  folder: string;
  close(): Promise<void>;
}

/** A real nginx. @param servers the content of `http` in its configuration */
export const startNginx = (servers: (place: Place) => string): Promise<Nginx> =>
  runNginx(
    (place) => `events { worker_connections 1024; }
http {
  access_log off;
  ${servers(place)}
}
`,
  );

/** A real nginx with a complete configuration, except for the paths of nginx's own files. */
export async function runNginx(configuration: (place: Place) => string): Promise<Nginx> {
  const folder = mkdtempSync(join(tmpdir(), 'floodgate-nginx-'));
  // When the tests run as root, nginx works as a user of its own, who must be able to read the files.
  chmodSync(folder, 0o755);
  const port = await freePort();
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  );
  const file = join(folder, 'nginx.conf');
  const text = configuration({ folder, port });
  writeFileSync(
    file,
    text.replace('http {', () => `http {\n  ${temporary.join('\n  ')}`),
  );
  const process = `daemon off; pid ${folder}/pid; error_log stderr error;`;
  const child = started(spawn(need('nginx'), ['-e', 'stderr', '-c', file, '-g', process], { stdio: 'inherit' }));
  await untilOpen(port, child);
  return {
    url: `http://127.0.0.1:${port}`,
    folder,
    close: async () => {
      child.kill('SIGTERM');
      await once(child, 'exit');
      rmSync(folder, { recursive: true });
    },
  };
}

/** Waits until a program listens on a port of the loopback address. @throws Error when it has ended */
export async function untilOpen(port: number, child: ChildProcess): Promise<void> {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`${child.spawnfile} did not start.`);
    const socket = connect(port, '127.0.0.1');
    const isOpen = await new Promise((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    });
    socket.destroy();
    if (isOpen) return;
    await pause(20);
  }
}
