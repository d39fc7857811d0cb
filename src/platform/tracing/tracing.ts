import type { IncomingMessage, RequestListener } from 'node:http';
import { context, propagation, ROOT_CONTEXT, type Span, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import type { FastifyInstance } from 'fastify';
import type { Config } from '../config.token.js';
import { isProbe } from '../http/probe.js';
import { splitUrl } from '../http/split-url.js';
import type { TraceIds } from '../logging/logger.js';
import { startProvider } from './provider.js';

/**
 * Makes a span for every request except probes, within the caller's trace if it sends one (W3C traceparent). Create it
 * before the app is loaded, and only with tracing on, since this module loads OpenTelemetry.
 */
export class Tracing {
  /** Sends the last spans, for a short time only. */
  readonly stop: () => Promise<void>;
  private readonly tracer;
  private readonly spans = new WeakMap<IncomingMessage, Span>();
  private readonly routes = new WeakMap<IncomingMessage, string>();

  constructor(config: Config) {
    this.stop = startProvider(config);
    this.tracer = trace.getTracer('floodgate');
  }

  /**
   * Wraps the HTTP server's listener, so that the request's span is active in it.
   * @param routeOf finds the path template of a URL that the edge answers
   */
  around(entrance: RequestListener, routeOf: (url: string) => string | undefined): RequestListener {
    return (request, response) => {
      const { method = '', url = '', headers } = request;
      if (isProbe(request)) return void entrance(request, response);
      const caller = propagation.extract(ROOT_CONTEXT, headers);
      const attributes = { 'http.request.method': method, 'url.path': splitUrl(url)[0], 'url.scheme': 'http' };
      const span = this.tracer.startSpan(method, { kind: SpanKind.SERVER, attributes }, caller);
      this.spans.set(request, span);
      response.once('close', () => {
        const isRead = method === 'GET' || method === 'HEAD';
        const route = this.routes.get(request) ?? (isRead ? routeOf(url) : undefined);
        if (route !== undefined) span.updateName(`${method} ${route}`).setAttribute('http.route', route);
        const { headersSent, statusCode } = response;
        if (headersSent) span.setAttribute('http.response.status_code', statusCode);
        if (headersSent && statusCode >= 500)
          span.setAttribute('error.type', String(statusCode)).setStatus({ code: SpanStatusCode.ERROR });
        span.end();
      });
      context.with(trace.setSpan(caller, span), entrance, undefined, request, response);
    };
  }

  /** Notes the path template of requests that go through the pipeline. */
  register(fastify: FastifyInstance): void {
    fastify.addHook('onRequest', ({ raw, routeOptions }, _reply, done) => {
      if (routeOptions.url !== undefined) this.routes.set(raw, routeOptions.url);
      done();
    });
  }

  /** The ids of a request's trace, or else of the active one, with their names in ECS. */
  idsOf(request?: IncomingMessage): TraceIds {
    const span = request ? this.spans.get(request) : trace.getActiveSpan();
    if (!span) return {};
    const { traceId, spanId } = span.spanContext();
    return { 'trace.id': traceId, 'span.id': spanId };
  }
}
