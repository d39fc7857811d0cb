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

/** Larger request headers are answered with 431. */
const MAX_HEADER_BYTES = 16_384;
/** Longest path segment, in characters. */
const MAX_PARAM_LENGTH = 200;

/** Nest's Fastify adapter with this API's errors, body parsers, time-outs and responses in place of the defaults. */
export class HttpAdapter extends FastifyAdapter {
  /** Takes no more connections, and leaves those that it has as they are. */
  readonly stopListening: () => void;

  /** @param entrance wraps Fastify's listener, so that it sees every request first */
  constructor(config: Config, logger: Logger, entrance: (pipeline: RequestListener) => RequestListener) {
    super({
      loggerInstance: logger,
      // A logger for each request would cost more than all that is logged; our lines name their request themselves.
      childLoggerFactory: (parent: FastifyBaseLogger) => parent,
      // The access log is ours: one ECS line for each request.
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
            // This also ends a connection that sends nothing at all.
            headersTimeout: config.HEADERS_TIMEOUT_MS,
            connectionsCheckingInterval: 1000,
            // The request guard checks it, and answers with a problem document.
            requireHostHeader: false,
            // Node would drop a second Host header, for instance; joined, it is visible and refused.
            joinDuplicateHeaders: true,
            // A request without a body is no stream that has to end: Node 24.12 and newer then take a tenth less for a read.
            optimizeEmptyRequests: true,
          },
          withinLimits(entrance(pipeline), config),
        ),
      forceCloseConnections: 'idle',
      return503OnClosing: false,
      clientErrorHandler: answerClientError,
      frameworkErrors: (error: Error, request: FastifyRequest, reply: FastifyReply) =>
        answerProblem(request, reply, error),
      // The request guard refuses an invalid query before any handler reads it.
      routerOptions: { maxParamLength: MAX_PARAM_LENGTH, querystringParser: (query) => readQuery(query) ?? {} },
      // Zod validates and JSON.stringify serializes, so Fastify's own compilers need not be loaded.
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
    this.stopListening = registerAcceptors(fastify);
    registerConnections(fastify, config.MAX_CONNECTIONS);
    refuseTunnels(fastify);
    // Node would answer 417 without a problem document; RFC 9110 allows ignoring an unknown expectation.
    fastify.server.on('checkExpectation', (request, response) => fastify.server.emit('request', request, response));
    this.refuseOtherMethods(fastify);
    fastify.setErrorHandler((error, request, reply) => answerProblem(request, reply, error));
    fastify.setNotFoundHandler((request, reply) => answerProblem(request, reply, this.unknown(request)));
  }

  /** Does nothing: Nest's own handlers would lose the type of the error on the way to the filters. */
  override setErrorHandler() {
    return this.getInstance<FastifyInstance>();
  }
  override setNotFoundHandler() {
    return this.getInstance<FastifyInstance>();
  }

  override reply(response: FastifyReply, body: unknown, statusCode?: number): FastifyReply {
    if (!(body instanceof Answer)) {
      // A plain return value of a handler may be meant for this caller alone, so shared caches must not keep it.
      const { method, caller } = response.request;
      if (method === 'GET' && caller && !response.hasHeader('cache-control'))
        response.header('cache-control', 'private, no-cache');
      return super.reply(response, body, statusCode);
    }
    if (statusCode) response.code(statusCode);
    return body.send(response.request, response);
  }

  /** Adds to every path a route that answers 405 to the methods that the path does not support. */
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
      // In onRequest, so that no body is read first.
      const onRequest = () => {
        throw otherMethod('This resource', methods);
      };
      fastify.route({ url, method: others, onRequest, handler: () => {} });
    };
    this.sealRoutes = () => {
      const taken = new Set([...methodsOf.values()].flatMap((methods) => [...methods]));
      for (const url of [...methodsOf.keys()]) seal(url);
      // A plugin that is still loading may add routes later.
      fastify.addHook('onRoute', ({ url }) => seal(url));
      this.unknown = ({ method, url }) => {
        // Browsers send OPTIONS for any path, so it counts as supported even without a route.
        const isTaken = method === 'OPTIONS' ? url !== '*' : taken.has(method);
        return isTaken ? notFound() : otherMethod('This server', taken);
      };
    };
  }

  /** Must be called when the app has its routes. */
  sealRoutes: () => void = () => {};

  /** The problem for a request without a route. */
  private unknown: (request: FastifyRequest) => Problem = () => notFound();
}

function otherMethod(what: string, methods: Set<string>): Problem {
  const allow = [...methods].sort().join(', ');
  return new Problem('method-not-allowed', `${what} takes ${allow}.`, {}, { allow });
}

function unused(): never {
  throw new Error('A route has a Fastify schema: use Zod.');
}

const isSupported = (fastify: FastifyInstance, method: string) =>
  (fastify.supportedMethods as string[]).includes(method);
