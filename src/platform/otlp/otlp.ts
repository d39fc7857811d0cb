import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import { context, propagation, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { parseKeyPairsIntoRecord, setGlobalErrorHandler, W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-proto';
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-proto';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { PgInstrumentation } from '@opentelemetry/instrumentation-pg';
import { RedisInstrumentation } from '@opentelemetry/instrumentation-redis';
import { UndiciInstrumentation } from '@opentelemetry/instrumentation-undici';
import * as resources from '@opentelemetry/resources';
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs';
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import * as sdk from '@opentelemetry/sdk-trace';
import type { Config } from '../config.token.js';
import { splitUrl } from '../http/split-url.js';
import { seldom } from '../logging/seldom.js';
import { Tracing } from '../tracing/tracing.js';
import { recordOf } from './logs.js';
import { collect } from './metrics.js';

/** How long an exit waits until the last spans, metrics and log lines are sent. */
const FLUSH_MS = 2000;

export type Otlp = ReturnType<typeof startOtlp>;

/**
 * Makes OpenTelemetry send spans, metrics and log lines to OTEL_EXPORTER_OTLP_ENDPOINT. It also instruments pg, the Redis
 * client and fetch(), if they are loaded after this. Call it only with an endpoint, since this module loads OpenTelemetry.
 */
export function startOtlp(config: Config) {
  setGlobalErrorHandler(complaint());
  const resource = resourceOf(config);
  const options = { headers: parseKeyPairsIntoRecord(config.OTEL_EXPORTER_OTLP_HEADERS) };
  const isSent = (what: 'TRACES' | 'METRICS' | 'LOGS') => config[`OTEL_${what}_EXPORTER`] === 'otlp';
  const traces = isSent('TRACES') ? startTraces(config, resource, new OTLPTraceExporter(options)) : undefined;
  const reader = new PeriodicExportingMetricReader({
    exporter: new OTLPMetricExporter(options),
    exportIntervalMillis: config.OTEL_METRIC_EXPORT_INTERVAL,
    metricProducers: [{ collect }],
  });
  const metrics = isSent('METRICS') ? new MeterProvider({ resource, readers: [reader] }) : undefined;
  const processors = [new BatchLogRecordProcessor({ exporter: new OTLPLogExporter(options) })];
  const logs = isSent('LOGS') ? new LoggerProvider({ resource, processors }) : undefined;
  const log = logs?.getLogger('floodgate');
  return {
    /** Absent when no traces are wanted. */
    tracing: traces && new Tracing(),
    /** Sends a line of the log. Absent when no log lines are wanted. */
    send: log && ((line: string) => log.emit(recordOf(line))),
    /** Sends the rest, within FLUSH_MS. */
    async stop() {
      const ends = [traces, metrics, logs].map((provider) => provider?.shutdown());
      await Promise.race([Promise.allSettled(ends), sleep(FLUSH_MS, undefined, { ref: false })]);
    },
  };
}

function startTraces(config: Config, resource: resources.Resource, exporter: sdk.SpanExporter) {
  const queue = { maxQueueSize: config.OTEL_BSP_MAX_QUEUE_SIZE, scheduledDelayMillis: config.OTEL_BSP_SCHEDULE_DELAY };
  const provider = new sdk.TracerProvider({
    resource,
    sampler: samplerOf(config),
    spanProcessors: [new DiscreetProcessor({ exporter, ...queue })],
  });
  trace.setGlobalTracerProvider(provider);
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  new PgInstrumentation({ requireParentSpan: true });
  // Without keys, which hold callers' addresses.
  new RedisInstrumentation({ requireParentSpan: true, dbStatementSerializer: (command) => command });
  new UndiciInstrumentation({
    requireParentforSpans: true,
    startSpanHook: ({ origin, path }) => ({ 'url.full': origin + splitUrl(path)[0], 'url.query': '' }),
  });
  return provider;
}

/** Removes error messages from spans, since they may hold values. The log has them, with the trace's id. */
class DiscreetProcessor extends sdk.BatchSpanProcessor {
  override onEnd(span: sdk.ReadableSpan): void {
    delete span.status.message;
    span.events.length = 0;
    super.onEnd(span);
  }
}

function resourceOf({ OTEL_SERVICE_NAME }: Config) {
  const detectors = [resources.serviceInstanceIdDetector, resources.resourceAttributesEnvDetector];
  return resources
    .defaultResource()
    .merge(resources.resourceFromAttributes({ 'host.name': hostname(), 'process.pid': process.pid }))
    .merge(resources.detectResources({ detectors }))
    .merge(resources.resourceFromAttributes({ 'service.name': OTEL_SERVICE_NAME }));
}

function samplerOf({ OTEL_TRACES_SAMPLER: name, OTEL_TRACES_SAMPLER_ARG: ratio }: Config): sdk.Sampler {
  let root: sdk.Sampler = new sdk.AlwaysOnSampler();
  if (name.endsWith('always_off')) root = new sdk.AlwaysOffSampler();
  if (name.endsWith('traceidratio')) root = new sdk.TraceIdRatioBasedSampler(ratio);
  return name.startsWith('parentbased') ? new sdk.ParentBasedSampler({ root }) : root;
}

function complaint() {
  const logger = new Logger('OpenTelemetry');
  return seldom<unknown>((error) =>
    logger.warn(
      `The collector does not take everything, and what it does not take is lost: ${(error as Error).message}`,
    ),
  );
}
