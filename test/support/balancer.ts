import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../scripts/embedded-postgres.js';
import { pause } from './process.js';
import { need } from './program.js';
import { started } from './started.js';

/** What stands before two processes, and sends callers to those that are ready. */
export interface Balancer {
  url: string;
  /** @param ready of each process, in the order of their ports */
  direct(ready: boolean[]): void;
  close(): Promise<void>;
}

/** nginx as gateways have it: connections to both sides are kept, each request goes where it should, none is sent twice. */
export async function nginx(ports: [number, number]): Promise<Balancer> {
  const folder = mkdtempSync(join(tmpdir(), 'floodgate-nginx-'));
  // As root, nginx works as a user of its own, who looks for the files here.
  chmodSync(folder, 0o755);
  const port = await freePort();
  const [first, second] = ports.map((own) => `server 127.0.0.1:${own} max_fails=0;`);
  const kept = 'keepalive 64;';
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  );
  writeFileSync(
    join(folder, 'nginx.conf'),
    `daemon off;
pid ${folder}/pid;
error_log stderr error;
events { worker_connections 1024; }
http {
  access_log off;
  ${temporary.join('\n  ')}
  upstream both { ${first} ${second} ${kept} }
  upstream first { ${first} ${kept} }
  upstream second { ${second} ${kept} }
  server {
    listen 127.0.0.1:${port};
    # Looked at for each request. A reload would end callers' connections, now and then under a request that is on its way.
    set $ready both;
    if (-f ${folder}/away-0) { set $ready second; }
    if (-f ${folder}/away-1) { set $ready first; }
    location / {
      proxy_pass http://$ready;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_next_upstream off;
    }
  }
}
`,
  );
  const child = started(spawn(need('nginx'), ['-e', 'stderr', '-c', join(folder, 'nginx.conf')], { stdio: 'inherit' }));
  await untilOpen(port, child);
  return {
    url: `http://127.0.0.1:${port}`,
    direct: (ready) => {
      for (const [index, isReady] of ready.entries()) {
        const away = join(folder, `away-${index}`);
        if (isReady) rmSync(away, { force: true });
        else writeFileSync(away, '');
      }
    },
    close: async () => {
      child.kill('SIGTERM');
      await once(child, 'exit');
      rmSync(folder, { recursive: true });
    },
  };
}

async function untilOpen(port: number, child: ChildProcess): Promise<void> {
  for (;;) {
    if (child.exitCode !== null) throw new Error('nginx did not start.');
    const socket = connect(port, '127.0.0.1');
    const isOpen = await new Promise((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    });
    socket.destroy();
    if (isOpen) return;
    await pause(20);
  }
}

/** What kube-proxy does: a new connection goes to a process that is ready, and stays there whatever becomes of it. */
export async function connections(ports: [number, number]): Promise<Balancer> {
  let ready = [...ports];
  let turn = 0;
  const open = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(ready[turn++ % ready.length] as number, '127.0.0.1');
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(socket);
      socket.setNoDelay();
      socket.pipe(other);
      socket.on('error', () => other.destroy()).on('close', () => open.delete(socket));
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    direct: (now) => {
      ready = ports.filter((_, index) => now[index]);
    },
    close: async () => {
      for (const socket of open) socket.destroy();
      await once(server.close(), 'close');
    },
  };
}
