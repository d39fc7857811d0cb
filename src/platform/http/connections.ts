import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import type { Config } from '../config.token.js';
import { showInUse } from '../metrics/in-use.js';

const SWEEP_MS = 100;

/** A connection. Node keeps the response that is under way on it in `_httpMessage`. */
export type Connection = Socket & {
  _httpMessage?: ServerResponse | null;
  /** How many requests have arrived on it. */
  requests?: number;
  /** It is receiving a body from a caller with a valid token. */
  isKnown?: boolean;
  /** It is receiving the rest of a body, to discard it. */
  isLingering?: boolean;
};

/** How many pipelined requests may wait in this process, at some 4 KiB each. */
const MAX_PIPELINED = 2000;
/** A request with a body counts as so many, since Node holds 128 KiB for it. */
const WITH_BODY = 32;

/** Requests that arrived before the one in front of them was answered. Node takes up to a thousand in a single read. */
class Pipelined {
  private readonly waiting = new Map<Connection, number>();
  private count = 0;

  constructor() {
    showInUse('pipelined_requests', () => this.count);
  }

  /** Does the work once the requests in front are answered; else one connection could take all places in admission. */
  behind(connection: Connection, response: ServerResponse, work: () => void): void {
    if (connection.destroyed) return;
    const { 'content-length': length = '0', 'transfer-encoding': coding } = response.req.headers;
    const weight = length === '0' && coding === undefined ? 1 : WITH_BODY;
    this.count += weight;
    this.waiting.set(connection, (this.waiting.get(connection) ?? 0) + weight);
    response.once('close', () => this.remove(connection, weight));
    response.once('socket', work);
    if (this.count > MAX_PIPELINED) this.endLongest();
  }

  private remove(connection: Connection, weight: number): void {
    const waiting = this.waiting.get(connection);
    if (waiting === undefined) return;
    this.count -= weight;
    if (waiting > weight) this.waiting.set(connection, waiting - weight);
    else this.waiting.delete(connection);
  }

  private endLongest(): void {
    const [longest, count] = [...this.waiting].reduce((one, other) => (other[1] > one[1] ? other : one));
    this.count -= count;
    this.waiting.delete(longest.destroy());
  }
}

/** Reading the rest of a body up to this size, most of it already there, is cheaper than losing the connection. */
const SHORT_BODY = 65_536;
/** How long a caller who has its answer may take to send the rest of the body. */
const LINGER_MS = 2000;
/** How long a caller may take to read the last answer on a connection. */
const LAST_MS = 500;

/**
 * Must be called for each answered request, whose body may still be arriving: a short rest is read and discarded.
 * @returns whether the answer has to be the last on its connection
 */
export function linger(request: IncomingMessage): boolean {
  if (request.complete) return false;
  const { 'content-length': length = '0', 'transfer-encoding': coding } = request.headers;
  if (length === '0' && coding === undefined) return false;
  // A caller that was not told to continue may send the body or not, so the next bytes could be another request.
  const isLast = coding !== undefined || Number(length) > SHORT_BODY || request.awaitsContinue === true;
  // Node sets it to null once the connection has ended.
  const connection = request.socket as Connection | null;
  if (!connection || connection.isLingering || connection.destroyed) return isLast;
  connection.isLingering = true;
  const timer = setTimeout(() => connection.destroy(), LINGER_MS).unref();
  request.once('close', () => {
    clearTimeout(timer);
    connection.isLingering = false;
  });
  // Whoever began to read the body must not go on.
  request.removeAllListeners('readable').removeAllListeners('data').resume();
  if (isLast) endLater(connection, request);
  return isLast;
}

/**
 * After the last answer Node would close both directions at once. With input unread, the system then sends a reset,
 * which can destroy what the caller has not read yet (RFC 9112, 9.6). So only the sending side is closed at first.
 */
function endLater(connection: Connection, request: IncomingMessage): void {
  const end = connection.destroySoon;
  connection.destroySoon = () => {
    connection.end();
    // In a later turn, since Node first resumes reading to discard the rest.
    setImmediate(() => connection.pause());
    setTimeout(() => connection.destroy(), LAST_MS).unref();
  };
  request.once('close', () => {
    connection.destroySoon = end;
  });
}

/**
 * Bounds what one connection may do:
 * - It ends when nothing moves while an answer is due. server.setTimeout() would start a timer for every answer.
 * - Its requests are answered one after another.
 * - The last request that it may send is answered with `Connection: close`, and nothing behind it is read (RFC 9112,
 *   9.6). Node's own maxRequestsPerSocket would answer the next one with a bare 503.
 * @param listener of the server's requests
 */
export function withinLimits(
  listener: RequestListener,
  { REQUEST_TIMEOUT_MS, MAX_REQUESTS_PER_CONNECTION: most }: Config,
): RequestListener {
  const pipelined = new Pipelined();
  const work: RequestListener = (request, response) => {
    listener(request, response);
    // Node resets the time-out when an answer is done, but marks it finished only in a later turn.
    if (!response.writableEnded || response.writableLength > 0) request.socket.setTimeout(2 * REQUEST_TIMEOUT_MS);
  };
  return (request, response) => {
    const connection: Connection = request.socket;
    const count = (connection.requests ?? 0) + 1;
    connection.requests = count;
    // It is never answered, but takes memory until the answers before it are done.
    if (count > most) return pipelined.behind(connection, response, () => {});
    if (count === most) response.shouldKeepAlive = false;
    if (connection._httpMessage === response) work(request, response);
    else pipelined.behind(connection, response, () => work(request, response));
  };
}

/**
 * Limits the number of connections, and ends idle ones while the server closes. Node would wait for those that had an
 * answer under way or never sent anything, for as long as their callers hold them.
 */
export function registerConnections(fastify: FastifyInstance, most: number): void {
  const { server } = fastify;
  fastify.addHook('onResponse', ({ raw }, _reply, done) => {
    linger(raw);
    done();
  });
  const connections = new Set<Connection>();
  /** Oldest first. A connection that has sent a request meanwhile is skipped when room is needed. */
  const unheard = new Set<Connection>();
  /**
   * Ends connections for a newcomer: the oldest without a whole request, or else all idle ones, or else one that still
   * sends its request, preferably without a token.
   */
  const makeRoom = (newcomer: Socket) => {
    for (const socket of unheard) {
      unheard.delete(socket);
      if (socket.isKnown || socket.bytesWritten > 0 || socket._httpMessage?.req.complete) continue;
      connections.delete(socket.destroy());
      return;
    }
    server.closeIdleConnections();
    let slow: Connection | undefined;
    for (const socket of connections) {
      if (socket.destroyed || socket.isLingering) connections.delete(socket.destroy());
      else if (socket._httpMessage?.req.complete === false && (!slow || (slow.isKnown && !socket.isKnown)))
        slow = socket;
    }
    if (connections.size >= most && slow) connections.delete(slow.destroy());
    if (connections.size >= most) newcomer.destroy();
  };
  // Before Node's own listener: from Node 26 on, a newcomer that it knows counts as idle, and would be closed with the others.
  server.prependListener('connection', (socket: Socket) => {
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
      // Makes answers that are still to come say "Connection: close".
      if (response && !response.headersSent) response.shouldKeepAlive = false;
    }
    const timer = setInterval(() => {
      server.closeIdleConnections();
      for (const socket of connections) if (socket.bytesRead === 0) socket.destroy();
      if (connections.size === 0) clearInterval(timer);
    }, SWEEP_MS);
    if (connections.size === 0) clearInterval(timer);
    done();
  });
}
