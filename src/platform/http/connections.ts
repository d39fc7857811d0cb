import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import type { Config } from '../config.token.js';

const SWEEP_MS = 100;

/** A connection, with the answer that is under way on it, which Node keeps there, and how many requests have come. */
export type Connection = Socket & { _httpMessage?: ServerResponse<IncomingMessage> | null; requests?: number };

/**
 * Ends connections on which nothing moves for a while as they are owed an answer, as when a reader takes nothing; a sender
 * who is too slow is told before. Node's own server.setTimeout() would start a clock for every answer, also for one that
 * goes out at once. And says to the last request that a connection may send that it is; what is sent behind it is not read
 * (RFC 9112, 9.6), where Node's own maxRequestsPerSocket would answer with a bare 503.
 * @param listener of the server's requests
 */
export function withinLimits(
  listener: RequestListener,
  { REQUEST_TIMEOUT_MS, MAX_REQUESTS_PER_CONNECTION: most }: Config,
): RequestListener {
  return (request, response) => {
    const connection: Connection = request.socket;
    const count = (connection.requests ?? 0) + 1;
    connection.requests = count;
    if (count > most) return;
    if (count === most) response.shouldKeepAlive = false;
    listener(request, response);
    // Node sets the clock anew when the answer is done.
    if (!response.writableFinished) connection.setTimeout(2 * REQUEST_TIMEOUT_MS);
  };
}

/**
 * Keeps connections to so many, and ends them as they fall idle once the server closes. Node would wait for those on which
 * an answer was under way (kept alive after it) and for those that never sent anything, for as long as callers hold them.
 */
export function registerConnections(fastify: FastifyInstance, most: number): void {
  const { server } = fastify;
  const connections = new Set<Connection>();
  /** The longest there first; those who were heard meanwhile are left out when room is needed. */
  const unheard = new Set<Connection>();
  /** For one more: by the end of who has been there longest without a whole request, else of all who have none under way. */
  const makeRoom = (newcomer: Socket) => {
    for (const socket of unheard) {
      unheard.delete(socket);
      if (socket.bytesWritten > 0 || socket._httpMessage?.req.complete) continue;
      connections.delete(socket.destroy());
      return;
    }
    server.closeIdleConnections();
    for (const socket of connections) if (socket.destroyed) connections.delete(socket);
    if (connections.size >= most) newcomer.destroy();
  };
  server.on('connection', (socket: Socket) => {
    if (connections.size >= most) makeRoom(socket);
    connections.add(socket);
    unheard.add(socket);
    socket.once('close', () => {
      connections.delete(socket);
      unheard.delete(socket);
    });
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
