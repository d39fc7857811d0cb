import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { startNginx } from './nginx.js';

/** A balancer before two processes, which sends callers to the ready ones. */
export interface Balancer {
  url: string;
  /** @param ready whether each process is ready, in the order of their ports */
  direct(ready: boolean[]): void;
  close(): Promise<void>;
}

/** nginx configured like a gateway: it keeps connections on both sides open, routes each request, and sends none twice. */
export async function nginx(ports: [number, number]): Promise<Balancer> {
  const [first, second] = ports.map((own) => `server 127.0.0.1:${own} max_fails=0;`);
  const kept = 'keepalive 64;';
  const { url, folder, close } = await startNginx(
    ({ folder, port }) => `
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
  }`,
  );
  return {
    url,
    direct: (ready) => {
      for (const [index, isReady] of ready.entries()) {
        const away = join(folder, `away-${index}`);
        if (isReady) rmSync(away, { force: true });
        else writeFileSync(away, '');
      }
    },
    close,
  };
}

/** Like kube-proxy: a new connection goes to a ready process, and stays there whatever happens to it. */
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
