import type { RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';

const SWEEP_MS = 100;

/** A connection, with the answer that is under way on it, which Node keeps there. */
type Connection = Socket & { _httpMessage?: ServerResponse | null };

/**
 * Ends connections on which nothing moves for `idleMs` while they are owed an answer, as when a reader takes nothing; a
 * sender who is too slow is told before. Node's own server.setTimeout() would start a clock for every answer, also for
 * one that goes out at once.
 * @param listener of the server's requests
 */
export const withClock =
  (listener: RequestListener, idleMs: number): RequestListener =>
  (request, response) => {
    listener(request, response);
    // Node sets the clock anew when the answer is done.
    if (!response.writableFinished) request.socket.setTimeout(idleMs);
  };

/**
 * Ends connections as they fall idle once the server closes. Node would wait for those on which an answer
 * was under way (kept alive after it) and for those that never sent anything, for as long as callers hold them.
 */
export function registerConnectionSweep(fastify: FastifyInstance): void {
  const { server } = fastify;
  const connections = new Set<Connection>();
  server.on('connection', (socket: Socket) => {
    connections.add(socket);
    socket.once('close', () => connections.delete(socket));
  });
  fastify.addHook('preClose', (done) => {
    for (const { _httpMessage: response } of connections) {
      // Says "Connection: close" to who is still to be answered.
      if (response && !response.headersSent) response.shouldKeepAlive = false;
    }
    const timer = setInterval(() => {
      if (server.listening) return;
      server.closeIdleConnections();
      for (const socket of connections) if (socket.bytesRead === 0) socket.destroy();
      if (connections.size === 0) clearInterval(timer);
    }, SWEEP_MS);
    // Closed without ever having listened: there is nothing to sweep.
    if (!server.listening) clearInterval(timer);
    done();
  });
}
