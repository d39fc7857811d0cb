import { Global, Module } from '@nestjs/common';
import { DiscoveryModule } from '@nestjs/core';
import { makeCounterProvider, makeGaugeProvider } from '@willsoto/nestjs-prometheus';
import { figures } from '../metrics/figures.js';
import { DEAD, JobQueues } from './job-queues.js';
import { type Figures, JobWorker } from './job-worker.js';
import { Jobs } from './jobs.js';

/** A figure of each job, whose name is its queue's. Those of queues are the same in all processes that work jobs, and absent in others. */
const ofEach = (read: (figures: Figures) => number | undefined) => (worker: JobWorker) =>
  Object.fromEntries(worker.figures().map(([job, figures]) => [job, read(figures)]));

const metrics = [
  ...figures(makeGaugeProvider, JobWorker, 'max', {
    jobs_waiting: ['Jobs that are due and wait; some seconds old.', ofEach(({ waiting }) => waiting), 'queue'],
    jobs_oldest_waiting_seconds: [
      'For how long the oldest job that waits has been due; 0 when none waits.',
      ofEach(({ age }) => (age === null ? 0 : age)),
      'queue',
    ],
    jobs_dead: [
      'Jobs whose attempts have all failed (GET /api/v1/admin/jobs/dead).',
      ({ looks }) => looks.get(DEAD)?.waiting ?? 0,
    ],
  }),
  ...figures(makeGaugeProvider, JobWorker, 'sum', {
    jobs_active: ['Jobs that are being worked in this process.', ofEach(({ active }) => active), 'queue'],
  }),
  ...figures(makeCounterProvider, JobWorker, 'sum', {
    jobs_done_total: ['Jobs that this process has done.', ofEach(({ done }) => done), 'queue'],
    jobs_failed_total: ['Attempts at jobs that have failed.', ofEach(({ failed }) => failed), 'queue'],
  }),
];

/** Background work of modules: `@Job` declares a handler, and `Jobs` enqueues. */
@Global()
@Module({
  imports: [DiscoveryModule],
  providers: [Jobs, JobQueues, JobWorker, ...metrics],
  exports: [Jobs],
})
export class JobQueueModule {}
