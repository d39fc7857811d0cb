import { Module, type Type } from '@nestjs/common';
import { makeCounterProvider, makeGaugeProvider, PrometheusModule } from '@willsoto/nestjs-prometheus';
import { type Counter, type Gauge, register } from 'prom-client';
import { DataSource } from 'typeorm';
import { Cache } from '../cache/cache.js';
import { poolOf } from '../database/pool.js';
import { PrimaryWatch } from '../database/primary-watch.js';
import { Admission, type Priority } from '../overload/admission.js';
import { utilizationMeter } from '../overload/utilization.js';
import { Redis } from '../redis/redis.js';
import { MetricsController } from './metrics.controller.js';

const utilization = utilizationMeter();

/** /metrics: Node's default metrics (event loop, heap, garbage collection), and pool, cache, admission, PostgreSQL and Redis. */
@Module({
  imports: [
    PrometheusModule.register({
      controller: MetricsController,
      defaultMetrics: { enabled: !register.getSingleMetric('process_cpu_seconds_total') },
    }),
  ],
  providers: [
    makeGaugeProvider({
      name: 'nodejs_eventloop_utilization',
      help: 'Busy share of the event loop since the last scrape, 0 to 1; with several workers, that of the busiest.',
      aggregator: 'max',
      collect(this: Gauge) {
        this.set(utilization());
      },
    }),
    ...gauges(DataSource, 'db_client_connection', {
      pending_requests: [
        'Requests that wait for a connection of the pool to PostgreSQL.',
        (source) => poolOf(source).waitingCount,
      ],
      max: [
        'Connections that the pool to PostgreSQL may open. Some more are opened beside the pool.',
        (source) => poolOf(source).options.max,
      ],
    }),
    ...gauges(Admission, 'admission', {
      limit: [
        'Current limit of concurrent reads and writes. Sign-ins and uploads have limits of their own.',
        ({ limit }) => limit,
      ],
      in_flight: ['Admitted requests that are running, of all kinds.', ({ inFlight }) => inFlight],
      queued: ['Requests that wait for admission.', ({ queued }) => queued],
    }),
    makeGaugeProvider({
      name: 'db_client_connection_count',
      help: 'Connections of the pool to PostgreSQL, by state.',
      labelNames: ['db_client_connection_state'],
      inject: [DataSource],
      collect(this: Gauge, source: DataSource) {
        const { idleCount, totalCount } = poolOf(source);
        this.set({ db_client_connection_state: 'idle' }, idleCount);
        this.set({ db_client_connection_state: 'used' }, totalCount - idleCount);
      },
    }),
    makeCounterProvider({
      name: 'admission_refused_total',
      help: 'Requests refused with 503: the queue was full (full), or they waited too long (late).',
      labelNames: ['priority', 'reason'],
      inject: [Admission],
      collect(this: Counter, admission: Admission) {
        this.reset();
        for (const priority of PRIORITIES)
          for (const [reason, count] of Object.entries(admission.refused(priority)))
            this.inc({ priority, reason }, count);
      },
    }),
    makeCounterProvider({
      name: 'cache_requests_total',
      help: 'Reads from the cache in this process: a fresh entry (hit), an expired one (stale), or none (miss).',
      labelNames: ['result'],
      inject: [Cache],
      collect(this: Counter, { counts }: Cache) {
        this.reset();
        this.inc({ result: 'hit' }, counts.hits);
        this.inc({ result: 'stale' }, counts.stale);
        this.inc({ result: 'miss' }, counts.misses);
      },
    }),
    makeCounterProvider({
      name: 'cache_refresh_failures_total',
      help: 'Loads that failed, so that an expired cache entry was served.',
      inject: [Cache],
      collect(this: Counter, { counts }: Cache) {
        this.reset();
        this.inc(counts.failures);
      },
    }),
    makeGaugeProvider({
      name: 'postgresql_up',
      help: 'Whether this process can read and write in PostgreSQL (1) or cannot (0).',
      aggregator: 'min',
      inject: [PrimaryWatch],
      collect(this: Gauge, { flaw }: PrimaryWatch) {
        this.set(flaw === undefined ? 1 : 0);
      },
    }),
    makeGaugeProvider({
      name: 'redis_up',
      help: 'Whether Redis answers (1) or not (0). Absent without REDIS_URL.',
      aggregator: 'min',
      inject: [Redis],
      collect(this: Gauge, { isConfigured, isDown }: Redis) {
        if (isConfigured) this.set(isDown ? 0 : 1);
        else this.remove();
      },
    }),
  ],
})
export class MetricsModule {}

const PRIORITIES: Priority[] = ['write', 'login', 'read', 'bulk'];

/** Gauges of one provider, each with its help and how to read it. Those of the pool have OpenTelemetry's names. */
function gauges<T>(of: Type<T>, prefix: string, figures: Record<string, [help: string, read: (of: T) => number]>) {
  return Object.entries(figures).map(([name, [help, read]]) =>
    makeGaugeProvider({
      name: `${prefix}_${name}`,
      help,
      inject: [of],
      collect(this: Gauge, one: T) {
        this.set(read(one));
      },
    }),
  );
}
