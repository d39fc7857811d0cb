import { ValueType } from '@opentelemetry/api';
import { hrTime, millisToHrTime } from '@opentelemetry/core';
import { emptyResource } from '@opentelemetry/resources';
import * as sdk from '@opentelemetry/sdk-metrics';
import { register } from 'prom-client';
import type { Figures } from '../metrics/all-workers.js';

/** OpenTelemetry's names of metrics and labels, by Prometheus' spelling of them. */
const NAMES = new Map(
  'http.server.request.duration http.request.method http.route http.response.status_code url.scheme error.type db.client.connection.count db.client.connection.max db.client.connection.pending_requests db.client.connection.state nodejs.eventloop.utilization'
    .split(' ')
    .map((name) => [name.replaceAll('.', '_'), name]),
);
const UNITS: Record<string, string> = { '': '', seconds: 's', bytes: 'By' };

type Sample = Figures[number]['values'][number] & { metricName?: string };

/**
 * The figures that this process shows in /metrics: prom-client's registry is the one place where they are counted. At the
 * end of a stop some cannot be read, such as those of closed pools: the others come without them.
 */
export async function collect(): Promise<sdk.CollectionResult> {
  const all = register.getMetricsAsArray() as unknown as { get(): Promise<Figures[number]> }[];
  const read = await Promise.allSettled(all.map(async (metric) => metric.get()));
  const metrics = read.flatMap((one) => (one.status === 'fulfilled' ? metricOf(one.value) : []));
  const scopeMetrics = [{ scope: { name: 'floodgate' }, metrics }];
  return { resourceMetrics: { resource: emptyResource(), scopeMetrics }, errors: [] };
}

/** @returns nothing for a summary, which OpenTelemetry's SDK does not have */
function metricOf({ name, help: description, type, aggregator, values }: Figures[number]): sdk.MetricData[] {
  const [, base = '', unit = ''] = /^(.*?)(?:_(seconds|bytes))?(?:_total)?$/.exec(name) ?? [];
  const [kind, dataPoints] = [String(type), values.map(({ labels, value }) => point(labels, value))];
  const about = {
    descriptor: { name: NAMES.get(base) ?? name, description, unit: UNITS[unit] ?? '', valueType: ValueType.DOUBLE },
    aggregationTemporality: sdk.AggregationTemporality.CUMULATIVE,
  };
  if (kind === 'summary') return [];
  if (kind === 'histogram')
    return [{ ...about, dataPointType: sdk.DataPointType.HISTOGRAM, dataPoints: histograms(values) }];
  // OpenTelemetry calls a gauge whose values may be added up an up-down counter.
  if (kind === 'counter' || String(aggregator) === 'sum')
    return [{ ...about, dataPointType: sdk.DataPointType.SUM, isMonotonic: kind === 'counter', dataPoints }];
  return [{ ...about, dataPointType: sdk.DataPointType.GAUGE, dataPoints }];
}

/** For each set of labels there are the buckets, each with what is in those before it, and then the sum and the count. */
function histograms(samples: Sample[]): sdk.DataPoint<sdk.Histogram>[] {
  const size = samples.findIndex(({ metricName }) => metricName?.endsWith('_count')) + 1;
  return samples.flatMap(({ labels, value: count }, at) => {
    if ((at + 1) % size > 0) return [];
    const buckets = samples.slice(at + 1 - size, at - 1);
    const counts = buckets.map(({ value }, bucket) => value - (buckets[bucket - 1]?.value ?? 0));
    const boundaries = buckets.slice(0, -1).map((bucket) => Number(bucket.labels.le));
    return [point(labels, { buckets: { boundaries, counts }, sum: samples[at - 1]?.value ?? 0, count })];
  });
}

function point<T>(labels: Sample['labels'], value: T): sdk.DataPoint<T> {
  const attributes = Object.fromEntries(Object.entries(labels).map(([name, text]) => [NAMES.get(name) ?? name, text]));
  return { startTime: millisToHrTime(performance.timeOrigin), endTime: hrTime(), attributes, value };
}
