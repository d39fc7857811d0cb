import { performance } from 'node:perf_hooks';
import { Module } from '@nestjs/common';
import { makeGaugeProvider, PrometheusModule } from '@willsoto/nestjs-prometheus';
import { type Gauge, register } from 'prom-client';
import { DataSource } from 'typeorm';
import { poolOf } from '../database/pool.js';
import { MetricsController } from './metrics.controller.js';

const EVENT_LOOP_UTILIZATION = 'nodejs_eventloop_utilization';
const CONNECTION_COUNT = 'db_client_connection_count';
const CONNECTION_WAITERS = 'db_client_connection_pending_requests';
const CONNECTION_MAX = 'db_client_connection_max';

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
      name: EVENT_LOOP_UTILIZATION,
      help: 'Share of the time since the last scrape in which the event loop was busy, 0 to 1.',
      collect: utilization(),
    }),
    makeGaugeProvider({
      name: CONNECTION_COUNT,
      help: 'Connections to PostgreSQL by state.',
      labelNames: ['db_client_connection_state'],
      inject: [DataSource],
      collect(this: Gauge, dataSource: DataSource) {
        const pool = poolOf(dataSource);
        this.set({ db_client_connection_state: 'idle' }, pool.idleCount);
        this.set({ db_client_connection_state: 'used' }, pool.totalCount - pool.idleCount);
      },
    }),
    makeGaugeProvider({
      name: CONNECTION_WAITERS,
      help: 'Requests that wait for a connection to PostgreSQL.',
      inject: [DataSource],
      collect(this: Gauge, dataSource: DataSource) {
        this.set(poolOf(dataSource).waitingCount);
      },
    }),
    makeGaugeProvider({
      name: CONNECTION_MAX,
      help: 'Connections to PostgreSQL that this process may open.',
      inject: [DataSource],
      collect(this: Gauge, dataSource: DataSource) {
        this.set(poolOf(dataSource).options.max);
      },
    }),
  ],
})
export class MetricsModule {}

function utilization() {
  let last = performance.eventLoopUtilization();
  return function collect(this: Gauge) {
    const now = performance.eventLoopUtilization();
    this.set(performance.eventLoopUtilization(now, last).utilization);
    last = now;
  };
}
