import { Global, Module } from '@nestjs/common';
import { DiscoveryModule } from '@nestjs/core';
import { makeCounterProvider, makeGaugeProvider } from '@willsoto/nestjs-prometheus';
import type { Counter, Gauge } from 'prom-client';
import { DEAD, JobQueues } from './job-queues.js';
import { type Figures, JobWorker } from './job-worker.js';
import { Jobs } from './jobs.js';

type Read = (figures: Figures) => number | null | undefined;

/** Figures of each job, whose name is its queue's. Those of queues are the same in all processes that work jobs, and absent in others. */
const described = (name: string, help: string, read: Read) => ({
  name,
  help,
  labelNames: ['queue'],
  inject: [JobWorker],
  collect(this: Gauge | Counter, worker: JobWorker) {
    this.reset();
    for (const [queue, figures] of worker.figures()) {
      const value = read(figures);
      if (typeof value === 'number') this.inc({ queue }, value);
    }
  },
});

const figures = [
  makeGaugeProvider({
    ...described('jobs_waiting', 'Jobs that are due and wait; as it was some seconds ago.', ({ waiting }) => waiting),
    aggregator: 'max',
  }),
  makeGaugeProvider({
    ...described(
      'jobs_oldest_waiting_seconds',
      'For how long the oldest job that waits has been due; 0 when none waits.',
      ({ waiting, age }) => (waiting === undefined ? undefined : (age ?? 0)),
    ),
    aggregator: 'max',
  }),
  makeGaugeProvider(described('jobs_active', 'Jobs that are being worked in this process.', ({ active }) => active)),
  makeGaugeProvider({
    name: 'jobs_dead',
    help: 'Jobs whose attempts have all failed (GET /api/v1/admin/jobs/dead).',
    aggregator: 'max',
    inject: [JobWorker],
    collect(this: Gauge, { looks }: JobWorker) {
      this.set(looks.get(DEAD)?.waiting ?? 0);
    },
  }),
  makeCounterProvider(described('jobs_done_total', 'Jobs that this process has done.', ({ done }) => done)),
  makeCounterProvider(described('jobs_failed_total', 'Attempts at jobs that have failed.', ({ failed }) => failed)),
];

/** Background work of modules: `@Job` declares a handler, and `Jobs` enqueues. */
@Global()
@Module({
  imports: [DiscoveryModule],
  providers: [Jobs, JobQueues, JobWorker, ...figures],
  exports: [Jobs],
})
export class JobQueueModule {}
