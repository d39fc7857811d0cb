import type { IncomingMessage } from 'node:http';
import { setImmediate } from 'node:timers/promises';
import { type CanActivate, type ExecutionContext, Inject, Injectable } from '@nestjs/common';
import { GUARDS_METADATA } from '@nestjs/common/constants.js';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { CONFIG, type Config } from '../config.token.js';
import { Throttle } from '../throttle/throttle.js';
import { Bodies } from './bodies.js';
import type { Connection } from './connections.js';
import { DeclaredRoutes, enhance } from './declared-routes.js';
import { invalid, Problem, tooLarge } from './problem.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route reads its body as a stream, a JSON array or NDJSON, and counts the bytes itself. */
    streamed?: boolean;
  }
}

declare module 'node:http' {
  interface IncomingMessage {
    /**
     * The request's place in admission, set when it was admitted. It is given back while the request waits for its
     * caller, who may be slow, and once the answer is written.
     */
    place?: { outside<T>(awaited: Promise<T>): Promise<T>; answered(): void };
    /** The request has `Expect: 100-continue`, and its caller has not been told to send the body yet. */
    awaitsContinue?: boolean;
    /** The path template of its route, once the pipeline has found one. */
    route?: string | undefined;
  }
}

/** The media type of JSON texts, one a line. */
export const NDJSON = 'application/x-ndjson';

const unsupported = () =>
  new Problem('unsupported-media-type', 'The Content-Type is missing or not supported by this route.');

/** Accepts JSON media types only, and judges by the headers alone: a body is read after its caller is known. */
export function registerBodyTypes(fastify: FastifyInstance, config: Config): void {
  const { server } = fastify;
  server.on('checkContinue', (request: IncomingMessage, response) => {
    request.awaitsContinue = true;
    server.emit('request', request, response);
  });
  fastify.removeAllContentTypeParsers();
  const take = (type: string, isTakenBy: (request: FastifyRequest) => boolean | undefined) =>
    fastify.addContentTypeParser(type, (request: FastifyRequest, payload: IncomingMessage, done) => {
      const { streamed } = request.routeOptions.config;
      const limit = streamed ? config.BULK_LIMIT_BYTES : config.BODY_LIMIT_BYTES;
      if (!isTakenBy(request) || !isUtf8(request)) done(unsupported());
      else if (Number(payload.headers['content-length']) > limit) done(tooLarge(limit));
      else done(null, payload);
    });
  take('application/json', () => true);
  take('application/merge-patch+json', ({ method }) => method === 'PATCH');
  take(NDJSON, ({ routeOptions }) => routeOptions.config.streamed);
}

function isUtf8({ headers }: FastifyRequest): boolean {
  const charset = /;\s*charset\s*=\s*"?([^";\s]*)/i.exec(headers['content-type'] ?? '')?.[1];
  return charset === undefined || charset.toLowerCase() === 'utf-8';
}

/**
 * Reads the body. It is the last guard of each route with a body, so that a request that another guard refuses costs no
 * more than its headers. An interceptor would work too, but would cost each request a scope of its own.
 */
@Injectable()
export class BodyGuard implements CanActivate {
  private readonly bodies: Bodies;

  constructor(
    routes: DeclaredRoutes,
    private readonly throttle: Throttle,
    @Inject(CONFIG) config: Config,
  ) {
    this.bodies = new Bodies(config.BODY_LIMIT_BYTES, config.BODY_MEMORY_BYTES);
    // Nest makes the routes later, and calls this guard after those that they declare.
    for (const { handler } of routes.all().filter(({ method }) => method !== 'GET'))
      enhance(handler, GUARDS_METADATA, this, 'last');
  }

  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    const [request, reply] = context.getArgs<[FastifyRequest, FastifyReply]>();
    const { raw } = request;
    if (request.body !== raw) return true;
    if (raw.awaitsContinue) {
      raw.awaitsContinue = false;
      reply.raw.writeContinue();
    }
    if (request.routeOptions.config.streamed) return true;
    return this.receive(request);
  }

  private async receive(request: FastifyRequest): Promise<boolean> {
    const { raw, caller } = request;
    // Most bodies arrive with the headers, and Node parses them later in this turn of the event loop.
    if (!raw.complete) await setImmediate();
    // Node takes a request without a body for destroyed from the beginning, but never for aborted.
    if (raw.complete && !raw.aborted) {
      request.body = this.bodies.take(raw);
      return true;
    }
    if (raw.destroyed) throw invalid('The request was cut off.');
    const connection: Connection = raw.socket;
    connection.isKnown = caller !== undefined;
    const whole = this.bodies.read(raw, caller ? caller.id : this.throttle.addressOf(raw), caller !== undefined);
    // A slow body must not hold a place in admission.
    request.body = await (raw.place ? raw.place.outside(whole) : whole);
    return true;
  }
}
