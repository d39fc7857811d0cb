import { performance } from 'node:perf_hooks';
import { Module } from '@nestjs/common';
import { makeGaugeProvider, PrometheusModule } from '@willsoto/nestjs-prometheus';
import type { Pool } from 'pg';
import { type Gauge, register } from 'prom-client';
import { DataSource } from 'typeorm';
import { poolOf } from '../database/pool.js';
import { MetricsController } from './metrics.controller.js';

/** /metrics: Node's own figures (event loop, heap, garbage collection) and the connection pool's. */
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
      collect: utilization(),
    }),
    poolGauge('count', 'Connections to PostgreSQL by state.', collectStates, ['db_client_connection_state']),
    poolGauge('pending_requests', 'Requests that wait for a connection to PostgreSQL.', (gauge, { waitingCount }) =>
      gauge.set(waitingCount),
    ),
    poolGauge('max', 'Connections to PostgreSQL that this process may open.', (gauge, { options }) =>
      gauge.set(options.max),
    ),
  ],
})
export class MetricsModule {}

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

function utilization() {
  let last = performance.eventLoopUtilization();
  return function collect(this: Gauge) {
    const now = performance.eventLoopUtilization();
    this.set(performance.eventLoopUtilization(now, last).utilization);
    last = now;
  };
}
