import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';

const SWEEP_MS = 100;

/**
 * Ends connections as they fall idle once the server closes. Node would wait for those on which an answer
 * was under way (kept alive after it) and for those that never sent anything, for as long as callers hold them.
 */
export function registerConnectionSweep(fastify: FastifyInstance): void {
  const { server } = fastify;
  /** Every connection, with the latest answer on it unless it went out at once: it would be kept from being collected. */
  const connections = new Map<Socket, ServerResponse | undefined>();
  server.on('connection', (socket: Socket) => {
    connections.set(socket, undefined);
    socket.once('close', () => connections.delete(socket));
  });
  server.on('request', ({ socket }, response) => {
    connections.set(socket, response.writableEnded ? undefined : response);
  });
  fastify.addHook('preClose', (done) => {
    for (const response of connections.values()) {
      // Says "Connection: close" to who is still to be answered.
      if (response && !response.headersSent) response.shouldKeepAlive = false;
    }
    const timer = setInterval(() => {
      if (server.listening) return;
      server.closeIdleConnections();
      for (const socket of connections.keys()) if (socket.bytesRead === 0) socket.destroy();
      if (connections.size === 0) clearInterval(timer);
    }, SWEEP_MS);
    // Closed without ever having listened: there is nothing to sweep.
    if (!server.listening) clearInterval(timer);
    done();
  });
}
