import { Module } from '@nestjs/common';
import { makeCounterProvider, makeGaugeProvider, PrometheusModule } from '@willsoto/nestjs-prometheus';
import type { Pool } from 'pg';
import { type Counter, type Gauge, register } from 'prom-client';
import { DataSource } from 'typeorm';
import { Cache } from '../cache/cache.js';
import { poolOf } from '../database/pool.js';
import { Admission, type Priority } from '../overload/admission.js';
import { utilizationMeter } from '../overload/utilization.js';
import { Redis } from '../redis/redis.js';
import { MetricsController } from './metrics.controller.js';

const utilization = utilizationMeter();

const setWaiting = (gauge: Gauge, { waitingCount }: Pool) => gauge.set(waitingCount);
const setMost = (gauge: Gauge, { options }: Pool) => gauge.set(options.max);

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
    poolGauge('count', 'Connections to PostgreSQL by state.', collectStates, ['db_client_connection_state']),
    poolGauge('pending_requests', 'Requests that wait for a connection to PostgreSQL.', setWaiting),
    poolGauge('max', 'Connections to PostgreSQL that this process may open.', setMost),
    admissionGauge('limit', 'Requests that may be in hand at the same time, as of now.', ({ limit }) => limit),
    admissionGauge('in_flight', 'Requests in hand.', ({ inFlight }) => inFlight),
    admissionGauge('queued', 'Requests that wait to be taken in hand.', ({ queued }) => queued),
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

function admissionGauge(name: string, help: string, figure: (admission: Admission) => number) {
  return makeGaugeProvider({
    name: `admission_${name}`,
    help,
    inject: [Admission],
    collect(this: Gauge, admission: Admission) {
      this.set(figure(admission));
    },
  });
}

/** A figure of the pool for requests, by OpenTelemetry's name for it. */
function poolGauge(name: string, help: string, collect: (gauge: Gauge, pool: Pool) => void, labelNames: string[] = []) {
  return makeGaugeProvider({
    name: `db_client_connection_${name}`,
    help,
    labelNames,
    inject: [DataSource],
    collect(this: Gauge, dataSource: DataSource) {
      collect(this, poolOf(dataSource));
    },
  });
}

function collectStates(gauge: Gauge, { idleCount, totalCount }: Pool): void {
  gauge.set({ db_client_connection_state: 'idle' }, idleCount);
  gauge.set({ db_client_connection_state: 'used' }, totalCount - idleCount);
}
