import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A way to a server that a test can cut and mend. */
export interface Forwarder {
  /** The given URL, by way of this forwarder. */
  url: string;
  /** Ends all connections and takes no new ones. */
  cut(): Promise<void>;
  mend(): Promise<void>;
  /** Lets nothing through, or no answers, on connections that stay open. */
  hold(what: 'everything' | 'answers'): void;
  /** What was held comes through. */
  release(): void;
  close(): Promise<void>;
}

export async function forward(target: string): Promise<Forwarder> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  const ways = new Set<{ near: Socket; far: Socket }>();
  let held: 'everything' | 'answers' | undefined;
  const open = ({ near, far }: { near: Socket; far: Socket }) => {
    if (held === undefined) far.pipe(near);
    if (held !== 'everything') near.pipe(far);
  };
  const keep = (socket: Socket) => {
    sockets.add(socket);
    return socket.on('error', () => {}).on('close', () => sockets.delete(socket));
  };
  const server = createServer((near) => {
    const far = keep(connect(Number(port), hostname)).on('close', () => near.destroy());
    const way = { near, far };
    keep(near).on('close', () => {
      ways.delete(way);
      far.destroy();
    });
    ways.add(way);
    open(way);
  });
  const listen = async (on: number) => {
    server.listen(on, '127.0.0.1');
    await once(server, 'listening');
  };
  const cut = async () => {
    const closed = once(server, 'close');
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  await listen(0);
  const own = (server.address() as AddressInfo).port;
  const url = new URL(target);
  url.host = `127.0.0.1:${own}`;
  return {
    url: url.href,
    cut,
    mend: () => listen(own),
    hold: (what) => {
      held = what;
      for (const { near, far } of ways) {
        far.unpipe(near);
        if (what === 'everything') near.unpipe(far);
      }
    },
    release: () => {
      const was = held;
      held = undefined;
      for (const { near, far } of ways) {
        far.pipe(near);
        if (was === 'everything') near.pipe(far);
      }
    },
    close: async () => {
      if (server.listening) await cut();
    },
  };
}
