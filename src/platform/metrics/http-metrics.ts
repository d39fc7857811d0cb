import type { FastifyInstance } from 'fastify';
import { Histogram, register } from 'prom-client';

/** The buckets that OpenTelemetry's HTTP convention gives for http.server.request.duration, in seconds. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];

/** Paths that no route has share one label: a scanner must not make a series per guess. */
const UNKNOWN_ROUTE = 'unknown';

const CLASSES = ['', '1xx', '2xx', '3xx', '4xx', '5xx'];

/** Counts and times every request by method, route template and status class. */
export function registerHttpMetrics(fastify: FastifyInstance): void {
  const existing = register.getSingleMetric('http_server_request_duration_seconds');
  const histogram =
    (existing as Histogram | undefined) ??
    new Histogram({
      name: 'http_server_request_duration_seconds',
      help: 'Duration of HTTP server requests, in seconds.',
      labelNames: ['http_request_method', 'http_route', 'http_response_status_class'],
      buckets: BUCKETS,
    });
  fastify.addHook('onResponse', (request, reply, done) => {
    histogram.observe(
      {
        http_request_method: request.method,
        http_route: request.routeOptions.url ?? UNKNOWN_ROUTE,
        http_response_status_class: CLASSES[Math.floor(reply.statusCode / 100)] ?? 'unknown',
      },
      reply.elapsedTime / 1000,
    );
    done();
  });
}
