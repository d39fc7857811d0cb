import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import { context, propagation, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { parseKeyPairsIntoRecord, setGlobalErrorHandler, W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { PgInstrumentation } from '@opentelemetry/instrumentation-pg';
import { RedisInstrumentation } from '@opentelemetry/instrumentation-redis';
import { UndiciInstrumentation } from '@opentelemetry/instrumentation-undici';
import * as resources from '@opentelemetry/resources';
import * as sdk from '@opentelemetry/sdk-trace';
import type { Config } from '../config.token.js';
import { splitUrl } from '../http/split-url.js';

/** How long an exit waits until the last spans are sent. */
const FLUSH_MS = 2000;
/** The log says at most once in this time that spans are lost. */
const COMPLAINT_MS = 60_000;

/**
 * Makes OpenTelemetry send spans to OTEL_EXPORTER_OTLP_ENDPOINT, in batches from a bounded queue. It also instruments
 * pg, the Redis client and fetch(), if they are loaded after this.
 * @returns a function that sends the last spans, within FLUSH_MS
 */
export function startProvider(config: Config): () => Promise<void> {
  const exporter = new OTLPTraceExporter({ headers: parseKeyPairsIntoRecord(config.OTEL_EXPORTER_OTLP_HEADERS) });
  const queue = { maxQueueSize: config.OTEL_BSP_MAX_QUEUE_SIZE, scheduledDelayMillis: config.OTEL_BSP_SCHEDULE_DELAY };
  const provider = new sdk.TracerProvider({
    resource: resourceOf(config),
    sampler: samplerOf(config),
    spanProcessors: [new DiscreetProcessor({ exporter, ...queue })],
  });
  trace.setGlobalTracerProvider(provider);
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  setGlobalErrorHandler(complaint());
  new PgInstrumentation({ requireParentSpan: true });
  // Without keys, which hold callers' addresses.
  new RedisInstrumentation({ requireParentSpan: true, dbStatementSerializer: (command) => command });
  new UndiciInstrumentation({
    requireParentforSpans: true,
    startSpanHook: ({ origin, path }) => ({ 'url.full': origin + splitUrl(path)[0], 'url.query': '' }),
  });
  return () => Promise.race([provider.shutdown().catch(ignore), sleep(FLUSH_MS, undefined, { ref: false })]);
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
  return resources
    .defaultResource()
    .merge(resources.resourceFromAttributes({ 'host.name': hostname(), 'process.pid': process.pid }))
    .merge(resources.detectResources({ detectors: [resources.resourceAttributesEnvDetector] }))
    .merge(resources.resourceFromAttributes({ 'service.name': OTEL_SERVICE_NAME }));
}

function samplerOf({ OTEL_TRACES_SAMPLER: name, OTEL_TRACES_SAMPLER_ARG: ratio }: Config): sdk.Sampler {
  let root: sdk.Sampler = new sdk.AlwaysOnSampler();
  if (name.endsWith('always_off')) root = new sdk.AlwaysOffSampler();
  if (name.endsWith('traceidratio')) root = new sdk.TraceIdRatioBasedSampler(ratio);
  return name.startsWith('parentbased') ? new sdk.ParentBasedSampler({ root }) : root;
}

function complaint() {
  const logger = new Logger('Tracing');
  let saidAt = Number.NEGATIVE_INFINITY;
  return (error: unknown) => {
    if (performance.now() - saidAt < COMPLAINT_MS) return;
    saidAt = performance.now();
    logger.warn(`Spans cannot be delivered and are dropped: ${(error as Error).message}`);
  };
}

function ignore(): void {}
