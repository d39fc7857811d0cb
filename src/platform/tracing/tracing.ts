import type { IncomingMessage, RequestListener } from 'node:http';
import {
  context,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace,
} from '@opentelemetry/api';
import { isProbe } from '../http/probe.js';
import { splitUrl } from '../http/split-url.js';
import type { TraceIds } from '../logging/logger.js';
import { type Exemplar, errorType, methodLabel } from '../metrics/http-metrics.js';

/**
 * Makes a span for every request except probes, within the caller's trace if it sends one (W3C traceparent). This module
 * loads OpenTelemetry.
 */
export class Tracing {
  private readonly tracer = trace.getTracer('floodgate');
  private readonly spans = new WeakMap<IncomingMessage, Span>();

  /**
   * Wraps the HTTP server's listener, so that the request's span is active in it.
   * @param routeOf finds the path template of a request
   */
  around(entrance: RequestListener, routeOf: (request: IncomingMessage) => string | undefined): RequestListener {
    return (request, response) => {
      const { method: given = '', url = '', headers } = request;
      if (isProbe(request)) return void entrance(request, response);
      const caller = propagation.extract(ROOT_CONTEXT, headers);
      const method = methodLabel(given);
      const attributes = { 'http.request.method': method, 'url.path': splitUrl(url)[0], 'url.scheme': 'http' };
      const name = method === '_OTHER' ? 'HTTP' : method;
      const span = this.tracer.startSpan(name, { kind: SpanKind.SERVER, attributes }, caller);
      this.spans.set(request, span);
      response.once('close', () => {
        const route = routeOf(request);
        if (route !== undefined) span.updateName(`${name} ${route}`).setAttribute('http.route', route);
        const { headersSent, statusCode, writableFinished } = response;
        if (headersSent) span.setAttribute('http.response.status_code', statusCode);
        const error = errorType(statusCode, writableFinished);
        if (error !== undefined) span.setAttribute('error.type', error).setStatus({ code: SpanStatusCode.ERROR });
        span.end();
      });
      context.with(trace.setSpan(caller, span), entrance, undefined, request, response);
    };
  }

  /** The ids of a request's trace, or else of the active one, with their names in ECS. */
  idsOf(request?: IncomingMessage): TraceIds {
    const span = request ? this.spans.get(request) : trace.getActiveSpan();
    if (!span) return {};
    const { traceId, spanId } = span.spanContext();
    return { 'trace.id': traceId, 'span.id': spanId };
  }

  /** The ids of a request's span for an exemplar, if the collector gets the span. */
  exemplarOf(request: IncomingMessage): Exemplar['labelSet'] | undefined {
    const span = this.spans.get(request)?.spanContext();
    return span && span.traceFlags & TraceFlags.SAMPLED ? { trace_id: span.traceId, span_id: span.spanId } : undefined;
  }
}
