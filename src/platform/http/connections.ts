import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import type { Config } from '../config.token.js';
import { showInUse } from '../metrics/in-use.js';

const SWEEP_MS = 100;

/** A connection, with the answer that is under way on it, which Node keeps there. */
export type Connection = Socket & {
  _httpMessage?: ServerResponse | null;
  /** How many requests have come. */
  requests?: number;
  /** A body is on its way from a caller with a good token. */
  isKnown?: boolean;
  /** The rest of a body is awaited, only to be thrown away. */
  isLingering?: boolean;
};

/** Requests that may wait behind others of their connections, in this process: some 4 KiB each; of one with a body Node takes 128 KiB. */
const MAX_PIPELINED = 2000;
const WITH_BODY = 32;

/** Requests that were sent before the one in front of them was answered. Node takes whatever comes with one read: a thousand. */
class Pipelined {
  private readonly waiting = new Map<Connection, number>();
  private count = 0;

  constructor() {
    showInUse('pipelined_requests', () => this.count);
  }

  /** Does the work when those in front were answered, as other servers do: or one connection could take all places. */
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

/** The rest of a body of so many bytes, most often there already, is worth the connection. */
const SHORT_BODY = 65_536;
/** So long who was answered before may take to send it, ms; and so long who was given the last answer, to read that. */
const LINGER_MS = 2000;
const LAST_MS = 500;

/**
 * To be called when a request is answered that may not have come whole: a short rest is read and thrown away, for a while.
 * @returns whether the answer has to be the last on its connection
 */
export function linger(request: IncomingMessage): boolean {
  if (request.complete) return false;
  const { 'content-length': length = '0', 'transfer-encoding': coding } = request.headers;
  if (length === '0' && coding === undefined) return false;
  // Who was not told to send may do so or not: what comes next could be the body, or another request.
  const isLast = coding !== undefined || Number(length) > SHORT_BODY || request.awaitsContinue === true;
  // Node lets go of it when it has ended.
  const connection = request.socket as Connection | null;
  if (!connection || connection.isLingering || connection.destroyed) return isLast;
  connection.isLingering = true;
  const timer = setTimeout(() => connection.destroy(), LINGER_MS).unref();
  request.once('close', () => {
    clearTimeout(timer);
    connection.isLingering = false;
  });
  // Who began to read it does not go on.
  request.removeAllListeners('readable').removeAllListeners('data').resume();
  if (isLast) endLater(connection, request);
  return isLast;
}

/**
 * Node would end both ways at once behind the last answer, and the system then takes back what the caller has not read of it,
 * since there is more to come (RFC 9112, 9.6). So only our way is ended, and the other not read: that costs nothing.
 */
function endLater(connection: Connection, request: IncomingMessage): void {
  const end = connection.destroySoon;
  connection.destroySoon = () => {
    connection.end();
    // Node reads on first, to throw away what is left.
    setImmediate(() => connection.pause());
    setTimeout(() => connection.destroy(), LAST_MS).unref();
  };
  request.once('close', () => {
    connection.destroySoon = end;
  });
}

/**
 * Ends connections on which nothing moves for a while as they are owed an answer; a sender who is too slow is told before.
 * Node's own server.setTimeout() would start a clock for every answer, also for one that goes out at once. Has each
 * connection's requests answered one after another. And says to the last request that a connection may send that it is; what
 * is sent behind it is not read (RFC 9112, 9.6), where Node's own maxRequestsPerSocket would answer with a bare 503.
 * @param listener of the server's requests
 */
export function withinLimits(
  listener: RequestListener,
  { REQUEST_TIMEOUT_MS, MAX_REQUESTS_PER_CONNECTION: most }: Config,
): RequestListener {
  const pipelined = new Pipelined();
  const work: RequestListener = (request, response) => {
    listener(request, response);
    // Node sets the clock anew when the answer is done, which it calls finished only in a later turn.
    if (!response.writableEnded || response.writableLength > 0) request.socket.setTimeout(2 * REQUEST_TIMEOUT_MS);
  };
  return (request, response) => {
    const connection: Connection = request.socket;
    const count = (connection.requests ?? 0) + 1;
    connection.requests = count;
    // Never answered, but there as long as the answers before them are not.
    if (count > most) return pipelined.behind(connection, response, () => {});
    if (count === most) response.shouldKeepAlive = false;
    if (connection._httpMessage === response) work(request, response);
    else pipelined.behind(connection, response, () => work(request, response));
  };
}

/**
 * Keeps connections to so many, and ends them as they fall idle once the server closes. Node would wait for those on which
 * an answer was under way (kept alive after it) and for those that never sent anything, for as long as callers hold them.
 */
export function registerConnections(fastify: FastifyInstance, most: number): void {
  const { server } = fastify;
  fastify.addHook('onResponse', ({ raw }, _reply, done) => {
    linger(raw);
    done();
  });
  const connections = new Set<Connection>();
  /** The longest there first; those who were heard meanwhile are left out when room is needed. */
  const unheard = new Set<Connection>();
  /**
   * For one more: by the end of who has been there longest without a whole request, else of all who have none under way, else
   * of who still sends one; of callers with a token last of all.
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
