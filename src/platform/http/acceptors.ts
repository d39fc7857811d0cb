import cluster from 'node:cluster';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import type { FastifyInstance } from 'fastify';

/**
 * Node accepts one connection in a turn of the event loop, and answers in the same turn whoever has sent a request: of
 * 512 callers who come at once the last is met after 512 turns, which takes seconds. Of several sockets that listen on
 * one port, among which Linux shares the callers out, it accepts one each.
 */
const ACCEPTORS = 32;
/** Workers share the socket of their primary. */
const canShare = process.platform === 'linux' && cluster.isPrimary;

/**
 * How to listen. So many connections may wait on a socket, up to the kernel's net.core.somaxconn: Node's 511 overflow
 * when a crowd comes at once, and who is dropped tries again after 1 s, then 2, then 4.
 */
export const accepting = { backlog: 65_535, reusePort: canShare };

/** Sockets that share a port do not find it taken. @throws what listening on a port throws that another process has */
export async function assertFree(host: string, port: number): Promise<void> {
  if (!canShare || port === 0) return;
  const server = createServer().listen({ host, port });
  await once(server, 'listening');
  await once(server.close(), 'close');
}

/** Listens with the server, closes with it, and hands it the connections. */
export function registerAcceptors(fastify: FastifyInstance): void {
  if (!canShare) return;
  const { server } = fastify;
  const others: Server[] = [];
  server.once('listening', () => {
    const { address: host, port } = server.address() as AddressInfo;
    while (others.length < ACCEPTORS - 1) {
      const other = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => server.emit('connection', socket));
      // Then there is one fewer, which nobody would miss.
      other.on('error', () => undefined);
      others.push(other.listen({ ...accepting, host, port }));
    }
  });
  let closed: Promise<unknown>;
  fastify.addHook('preClose', async () => {
    closed = Promise.all(others.filter(({ listening }) => listening).map((other) => once(other.close(), 'close')));
  });
  // Comes when the server has no connection any more: now the others have none either.
  fastify.addHook('onClose', () => closed);
}
