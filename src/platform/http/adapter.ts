import { createServer, METHODS, type RequestListener } from 'node:http';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { LogController } from 'fastify';
import type { Logger } from 'pino';
import type { Config } from '../config.token.js';
import { trustOf } from '../throttle/address.js';
import { registerAcceptCheck } from './accept.js';
import { registerAcceptors } from './acceptors.js';
import { Answer } from './answer.js';
import { registerBodyTypes } from './body.js';
import { registerCompression } from './compression.js';
import { registerConnections, withinLimits } from './connections.js';
import { answerClientError, answerProblem, refuseTunnels } from './errors.js';
import { registerHeaders } from './headers.js';
import { notFound, Problem } from './problem.js';
import { publicPathOf } from './public-path.js';
import { readQuery } from './query.js';
import { registerRequestGuard, requestId } from './request-guard.js';
import { HttpResponse } from './response.js';
import { registerSharedCaches } from './shared-caches.js';

/** Largest request headers, in bytes; Node answers 431 beyond. */
const MAX_HEADER_BYTES = 16_384;
/** Longest part of a path, in characters. */
const MAX_PARAM_LENGTH = 200;

/** Nest's Fastify adapter with this API's errors, body parsers, time-outs and answers in place of the defaults. */
export class HttpAdapter extends FastifyAdapter {
  /** @param entrance meets every request before Fastify does */
  constructor(config: Config, logger: Logger, entrance: (pipeline: RequestListener) => RequestListener) {
    super({
      loggerInstance: logger,
      // The access log is ours: one line a request, in ECS.
      // A logger for each request would cost more than all that is logged: what is says which request it is about.
      childLoggerFactory: (parent: FastifyBaseLogger) => parent,
      logController: new LogController({ disableRequestLogging: true }),
      requestIdHeader: false,
      genReqId: requestId,
      trustProxy: trustOf(config.TRUST_PROXY) ?? false,
      bodyLimit: config.BODY_LIMIT_BYTES,
      serverFactory: (pipeline: RequestListener) =>
        createServer(
          {
            ServerResponse: HttpResponse,
            requestTimeout: config.REQUEST_TIMEOUT_MS,
            keepAliveTimeout: config.KEEP_ALIVE_TIMEOUT_MS,
            maxHeaderSize: MAX_HEADER_BYTES,
            // A connection that sends nothing at all is ended as one that is too slow with its headers.
            headersTimeout: config.HEADERS_TIMEOUT_MS,
            connectionsCheckingInterval: 1000,
            // The request guard does, with a problem document.
            requireHostHeader: false,
            // Node would keep the first one of those that may come once; joined, the second one shows.
            joinDuplicateHeaders: true,
          },
          withinLimits(entrance(pipeline), config),
        ),
      forceCloseConnections: 'idle',
      return503OnClosing: false,
      clientErrorHandler: answerClientError,
      frameworkErrors: (error: Error, request: FastifyRequest, reply: FastifyReply) =>
        answerProblem(request, reply, error),
      // What is no query is refused before anybody looks at it.
      routerOptions: { maxParamLength: MAX_PARAM_LENGTH, querystringParser: (query) => readQuery(query) ?? {} },
      // Zod checks and JSON.stringify writes: Fastify's own compilers are not even loaded.
      schemaController: { compilersFactory: { buildValidator: unused, buildSerializer: unused } },
    });
    const fastify = this.getInstance<FastifyInstance>();
    fastify.decorateRequest('caller', undefined).decorate('publicPath', publicPathOf(config));
    registerBodyTypes(fastify, config);
    registerHeaders(fastify, config.CORS_ORIGINS ?? []);
    registerSharedCaches(fastify);
    registerRequestGuard(fastify);
    registerAcceptCheck(fastify);
    registerCompression(fastify);
    registerAcceptors(fastify);
    registerConnections(fastify, config.MAX_CONNECTIONS);
    refuseTunnels(fastify);
    // Node would answer 417 without a document; RFC 9110 lets an expectation that nobody knows be ignored.
    fastify.server.on('checkExpectation', (request, response) => fastify.server.emit('request', request, response));
    this.refuseOtherMethods(fastify);
    fastify.setErrorHandler((error, request, reply) => answerProblem(request, reply, error));
    fastify.setNotFoundHandler((request, reply) => answerProblem(request, reply, this.unknown(request)));
  }

  /** Nest's own handlers would lose what kind of error it was on the way to the filters. */
  override setErrorHandler() {
    return this.getInstance<FastifyInstance>();
  }
  override setNotFoundHandler() {
    return this.getInstance<FastifyInstance>();
  }

  override reply(response: FastifyReply, body: unknown, statusCode?: number): FastifyReply {
    if (!(body instanceof Answer)) {
      // What one's own handler gives as it is may be for this caller alone.
      const { method, caller } = response.request;
      if (method === 'GET' && caller && !response.hasHeader('cache-control'))
        response.header('cache-control', 'private, no-cache');
      return super.reply(response, body, statusCode);
    }
    if (statusCode) response.code(statusCode);
    return body.send(response.request, response);
  }

  /** For every path, a route that answers 405 to the methods which the path does not have. */
  private refuseOtherMethods(fastify: FastifyInstance): void {
    const unknown = METHODS.filter((method) => method !== 'CONNECT' && !isSupported(fastify, method));
    for (const method of unknown) fastify.addHttpMethod(method);
    const methodsOf = new Map<string, Set<string>>();
    fastify.addHook('onRoute', ({ url, method }) => {
      const methods = methodsOf.get(url) ?? new Set();
      methodsOf.set(url, methods);
      for (const one of [method].flat()) methods.add(one);
    });
    const seal = (url: string) => {
      const methods = new Set(methodsOf.get(url));
      const others = fastify.supportedMethods.filter((method) => !methods.has(method));
      if (others.length === 0) return;
      // Before anything else: nobody's body is read for it.
      const onRequest = () => {
        throw otherMethod('This resource', methods);
      };
      fastify.route({ url, method: others, onRequest, handler: () => {} });
    };
    this.sealRoutes = () => {
      const taken = new Set([...methodsOf.values()].flatMap((methods) => [...methods]));
      for (const url of [...methodsOf.keys()]) seal(url);
      // Of a plugin that is still being loaded.
      fastify.addHook('onRoute', ({ url }) => seal(url));
      this.unknown = ({ method, url }) => {
        // OPTIONS has a meaning for a path, even if no route takes it: browsers ask.
        const isTaken = method === 'OPTIONS' ? url !== '*' : taken.has(method);
        return isTaken ? notFound() : otherMethod('This server', taken);
      };
    };
  }

  /** To be called when the app's routes are there. */
  sealRoutes: () => void = () => {};

  /** What to say where there is no route. */
  private unknown: (request: FastifyRequest) => Problem = () => notFound();
}

function otherMethod(what: string, methods: Set<string>): Problem {
  const allow = [...methods].sort().join(', ');
  return new Problem('method-not-allowed', `${what} takes ${allow}.`, {}, { allow });
}

function unused(): never {
  throw new Error('A route has a schema of Fastify.');
}

const isSupported = (fastify: FastifyInstance, method: string) =>
  (fastify.supportedMethods as string[]).includes(method);
