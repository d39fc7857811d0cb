import { Module, type Type } from '@nestjs/common';
import { makeCounterProvider, makeGaugeProvider, PrometheusModule } from '@willsoto/nestjs-prometheus';
import { type Counter, type Gauge, register } from 'prom-client';
import { DataSource } from 'typeorm';
import { Cache } from '../cache/cache.js';
import { poolOf } from '../database/pool.js';
import { Admission, type Priority } from '../overload/admission.js';
import { utilizationMeter } from '../overload/utilization.js';
import { Redis } from '../redis/redis.js';
import { MetricsController } from './metrics.controller.js';

const utilization = utilizationMeter();

/** /metrics: Node's own figures (event loop, heap, garbage collection), and those of pool, cache, admission and Redis. */
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
      help: 'Share of the time since the last scrape in which the event loop was busy, 0 to 1; of workers, the busiest.',
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
        'Connections that the pool to PostgreSQL may open; others come beside it.',
        (source) => poolOf(source).options.max,
      ],
    }),
    ...gauges(Admission, 'admission', {
      limit: [
        'Reads and writes that may be in hand at the same time, as of now; sign-ins and uploads have places of their own.',
        ({ limit }) => limit,
      ],
      in_flight: ['Requests in hand, of all kinds.', ({ inFlight }) => inFlight],
      queued: ['Requests that wait to be taken in hand.', ({ queued }) => queued],
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
      help: 'Requests refused with 503: for want of a place to wait (full), or after having waited in vain (late).',
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
      help: 'Reads of what may be kept in this process: given out fresh (hit), past its time (stale), or not there (miss).',
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
      help: 'Times that something kept could not be had anew, and was given out as it was.',
      inject: [Cache],
      collect(this: Counter, { counts }: Cache) {
        this.reset();
        this.inc(counts.failures);
      },
    }),
    makeGaugeProvider({
      name: 'redis_up',
      help: 'Whether Redis answers (1) or is done without (0). Not there without REDIS_URL.',
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

/** Figures of one thing, each with what it says and how it is read; of the pool by OpenTelemetry's names. */
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
