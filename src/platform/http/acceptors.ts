import cluster from 'node:cluster';
import { once } from 'node:events';
import { type AddressInfo, createServer, Server } from 'node:net';
import type { FastifyInstance } from 'fastify';
import type { Config } from '../config.token.js';
import { StartError } from '../start-error.js';

/**
 * In a turn of the event loop Node accepts one connection per listening socket, and answers requests in the same turn.
 * The last of 512 callers who connect at once would wait for 512 turns, which takes seconds. With several sockets on
 * one port, among which Linux distributes the connections, Node accepts one from each.
 */
const ACCEPTORS = 32;
/** Cluster workers share the socket of their primary instead. */
const canShare = process.platform === 'linux' && cluster.isPrimary;

/**
 * Options for listen(). The backlog is bounded by the kernel's net.core.somaxconn. Node's default of 511 overflows when
 * many callers connect at once, and a dropped caller tries again after 1 s, then 2, then 4.
 */
export const accepting = { backlog: 65_535, reusePort: canShare };

/**
 * Checks the port before anything is made, and again before listening, since listening with reusePort succeeds on a taken
 * one.
 * @throws StartError when another process has the port, or the address is not one of this machine
 */
export async function assertFree(config: Config): Promise<void> {
  const { HOST: host, PORT: port } = config;
  if (cluster.isWorker || port === 0) return;
  try {
    const server = createServer().listen({ host, port });
    await once(server, 'listening');
    await once(server.close(), 'close');
  } catch (error) {
    throw cannotListen(config, error as NodeJS.ErrnoException);
  }
}

export const cannotListen = ({ HOST, PORT }: Config, { code, message }: NodeJS.ErrnoException): StartError =>
  new StartError(
    code === 'EADDRINUSE'
      ? `Port ${PORT} on ${HOST} is taken: stop what listens there, or set PORT.`
      : `Cannot listen on ${HOST}:${PORT}: ${message}`,
  );

/**
 * Opens more listening sockets when the server listens. They hand it their connections and close with it.
 * @returns what closes all of them and leaves connections as they are. http.Server's own close() also ends those that are
 * idle: in Node 26, also those that it has just accepted and whose requests it has not read yet.
 */
export function registerAcceptors(fastify: FastifyInstance): () => void {
  const { server } = fastify;
  const all: Server[] = [server];
  server.once('listening', () => {
    const { address: host, port } = server.address() as AddressInfo;
    while (canShare && all.length < ACCEPTORS) {
      const other = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => server.emit('connection', socket));
      // The server works as well with one socket fewer.
      other.on('error', () => undefined);
      all.push(other.listen({ ...accepting, host, port }));
    }
  });
  let closed: Promise<unknown> | undefined;
  const stopListening = () => {
    const open = all.filter(({ listening }) => listening);
    closed ??= Promise.all(open.map((one) => once(Server.prototype.close.call(one), 'close')));
  };
  fastify.addHook('preClose', async () => stopListening());
  // onClose runs when the server has no connections left, so the other sockets have none either.
  fastify.addHook('onClose', () => closed);
  return stopListening;
}
