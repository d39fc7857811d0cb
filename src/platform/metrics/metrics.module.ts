import { Module } from '@nestjs/common';
import { makeCounterProvider, makeGaugeProvider, PrometheusModule } from '@willsoto/nestjs-prometheus';
import { type Counter, type Gauge, register } from 'prom-client';
import { DataSource } from 'typeorm';
import { Cache } from '../cache/cache.js';
import { poolOf } from '../database/pool.js';
import { PrimaryWatch } from '../database/primary-watch.js';
import { Admission, type Priority } from '../overload/admission.js';
import { utilizationMeter } from '../overload/utilization.js';
import { Redis } from '../redis/redis.js';
import { figures } from './figures.js';
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
    ...figures(makeGaugeProvider, DataSource, 'sum', {
      db_client_connection_pending_requests: [
        'Requests that wait for a connection of the pool to PostgreSQL.',
        (source) => poolOf(source).waitingCount,
      ],
      db_client_connection_max: [
        'Connections that the pool to PostgreSQL may open. Some more are opened beside the pool.',
        (source) => poolOf(source).options.max,
      ],
      db_client_connection_count: [
        'Connections of the pool to PostgreSQL, by state.',
        (source) => ({ idle: poolOf(source).idleCount, used: poolOf(source).totalCount - poolOf(source).idleCount }),
        'db_client_connection_state',
      ],
    }),
    ...figures(makeGaugeProvider, Admission, 'sum', {
      admission_limit: [
        'Current limit of concurrent reads and writes. Sign-ins and uploads have limits of their own.',
        ({ limit }) => limit,
      ],
      admission_in_flight: ['Admitted requests that are running, of all kinds.', ({ inFlight }) => inFlight],
      admission_queued: ['Requests that wait for admission.', ({ queued }) => queued],
    }),
    ...figures(makeCounterProvider, Cache, 'sum', {
      cache_requests_total: [
        'Reads from the cache in this process: a fresh entry (hit), an expired one (stale), or none (miss).',
        ({ counts: { hits: hit, stale, misses: miss } }) => ({ hit, stale, miss }),
        'result',
      ],
      cache_refresh_failures_total: [
        'Loads that failed, so that an expired cache entry was served.',
        ({ counts }) => counts.failures,
      ],
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
    ...figures(makeGaugeProvider, PrimaryWatch, 'min', {
      postgresql_up: [
        'Whether this process can read and write in PostgreSQL (1) or cannot (0).',
        ({ flaw }) => (flaw === undefined ? 1 : 0),
      ],
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
