import type { IncomingMessage } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { type Metric, register } from 'prom-client';

/** The buckets that OpenTelemetry's HTTP convention gives for http.server.request.duration, in seconds. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];
/** The methods that the convention knows. All others share a label, so that a scanner cannot make a series per guess. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'CONNECT', 'TRACE']);
export const methodLabel = (method: string): string => (METHODS.has(method) ? method : '_OTHER');

/** The convention's error.type of a request: its status, if it is 5xx, or that its answer was cut off. */
export const errorType = (status: number | undefined, isComplete: boolean): string | undefined =>
  isComplete ? (String(status).startsWith('5') ? String(status) : undefined) : 'aborted';

/** A request of a bucket: the ids of its span, its duration in seconds, and when it ended in Unix seconds. */
export type Exemplar = { labelSet: { trace_id: string; span_id: string }; value: number; timestamp: number };

/** The histogram of one method, route and status. */
export class Series {
  private readonly counts = new Float64Array(BUCKETS.length + 1);
  /** The last request with a trace, by bucket. */
  private readonly exemplars: Exemplar[] = [];
  private sum = 0;
  readonly labels: Record<string, string | number>;

  constructor(
    readonly method: string,
    route: string | undefined,
    readonly status: number | undefined,
    readonly isComplete: boolean,
  ) {
    this.labels = { http_request_method: method, url_scheme: 'http' };
    const error = errorType(status, isComplete);
    if (route !== undefined) this.labels.http_route = route;
    if (status !== undefined) this.labels.http_response_status_code = status;
    if (error !== undefined) this.labels.error_type = error;
  }

  observe(seconds: number, request: IncomingMessage): void {
    let bucket = 0;
    while (bucket < BUCKETS.length && seconds > (BUCKETS[bucket] as number)) bucket++;
    (this.counts[bucket] as number)++;
    this.sum += seconds;
    const labelSet = httpMetrics.exemplarOf?.(request);
    if (labelSet) this.exemplars[bucket] = { labelSet, value: seconds, timestamp: Date.now() / 1000 };
  }

  values(name: string) {
    let count = 0;
    const buckets = [...BUCKETS, '+Inf'].map((le, bucket) => {
      count += this.counts[bucket] as number;
      const exemplar = this.exemplars[bucket];
      return { metricName: `${name}_bucket`, labels: { le, ...this.labels }, value: count, exemplar };
    });
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels: this.labels, value: this.sum },
      { metricName: `${name}_count`, labels: this.labels, value: count },
    ];
  }
}

/** Replaces prom-client's Histogram, which hashes its labels for every request and takes 1 µs for it. */
class HttpMetrics {
  readonly name = 'http_server_request_duration_seconds';
  readonly help = 'Duration of HTTP server requests, in seconds.';
  readonly type = 'histogram';
  readonly aggregator = 'sum';
  /** Finds the span of a request, if the collector gets it. Absent without tracing. */
  exemplarOf: ((request: IncomingMessage) => Exemplar['labelSet'] | undefined) | undefined;
  /** By route, each of which has a few series. */
  private readonly series = new Map<string | undefined, Series[]>();

  /** @param route the path template, if there is one @param status absent when no answer was begun */
  of(given: string, route: string | undefined, status: number | undefined, isComplete = true): Series {
    const method = methodLabel(given);
    const all = this.series.get(route) ?? [];
    for (const one of all)
      if (one.status === status && one.method === method && one.isComplete === isComplete) return one;
    const series = new Series(method, route, status, isComplete);
    this.series.set(route, [...all, series]);
    return series;
  }

  get() {
    const { name, help, type, aggregator } = this;
    const values = [...this.series.values()].flat().flatMap((series) => series.values(name));
    return { name, help, type, aggregator, values };
  }
}

export const httpMetrics = new HttpMetrics();
register.registerMetric(httpMetrics as unknown as Metric);

/** Counts and times every answer by method, route template and status. */
export function registerHttpMetrics(fastify: FastifyInstance): void {
  fastify.addHook('onRequest', ({ raw, routeOptions }, _reply, done) => {
    raw.route = routeOptions.url;
    done();
  });
  fastify.addHook('onResponse', ({ method, routeOptions, raw }, { statusCode, elapsedTime }, done) => {
    httpMetrics.of(method, routeOptions.url, statusCode).observe(elapsedTime / 1000, raw);
    done();
  });
}
