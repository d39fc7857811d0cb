import { Injectable } from '@nestjs/common';
import { DiscoveryService, MetadataScanner } from '@nestjs/core';
import type { JobWithMetadata } from 'pg-boss';
import { Batch } from '../database/batch.js';
import { StartError } from '../start-error.js';
import { type Attempt, JOB, type JobDefinition } from './definition.js';
import { type JobData, Jobs } from './jobs.js';

/** The queue of jobs whose attempts have all failed. */
export const DEAD = 'dead';
const DEAD_KEPT_S = 30 * 86_400;
const YEAR_S = 365 * 86_400;
/** A worker that gives no sign of life for so long is lost, and another one takes its jobs. */
const HEARTBEAT_S = 15;
/** The most jobs that are removed in one commit. */
const ENDS_AT_ONCE = 100;
/** How long the row of a dead job stays beside the one in the queue of dead jobs. */
const KEPT_S = 60;
const USUAL = {
  retryLimit: 5,
  retryDelay: 5,
  retryDelayMax: 600,
  retryBackoff: true,
  heartbeatSeconds: HEARTBEAT_S,
  retentionSeconds: YEAR_S,
  deleteAfterSeconds: KEPT_S,
  deadLetter: DEAD,
};

/** The jobs of one name in this process. */
export interface Handler {
  definition: JobDefinition;
  work(payload: unknown, attempt: Attempt): Promise<unknown>;
  /** Those in hand, each with what stops it. */
  active: Map<JobWithMetadata<JobData>, AbortController>;
  /** Removes those that are done, many in one commit. */
  ends: Batch<JobWithMetadata<JobData>, true>;
  /** Whether there are probably jobs to fetch. */
  isDue: boolean;
  done: number;
  failed: number;
}

/** The queues of all methods with @Job. */
@Injectable()
export class JobQueues {
  readonly handlers = new Map<string, Handler>();

  constructor(
    private readonly jobs: Jobs,
    private readonly discovery: DiscoveryService,
    private readonly scanner: MetadataScanner,
  ) {}

  /** @throws StartError when two methods take the same job */
  discover(): void {
    for (const { instance } of this.discovery.getProviders()) {
      if (typeof instance !== 'object' || instance === null) continue;
      for (const method of this.scanner.getAllMethodNames(Object.getPrototypeOf(instance))) {
        const definition: JobDefinition | undefined = Reflect.getMetadata(JOB, instance[method]);
        if (!definition) continue;
        const { name } = definition;
        if (this.handlers.has(name) || name === DEAD) throw new StartError(`Two methods take the job ${name}`);
        const work: Handler['work'] = (payload, attempt) => instance[method](payload, attempt);
        const end = async (jobs: JobWithMetadata<JobData>[]) => {
          await this.jobs.boss.deleteJob(name, jobs);
          return jobs.map(() => true as const);
        };
        const ends = new Batch(end, 1, ENDS_AT_ONCE);
        this.handlers.set(name, { definition, work, ends, active: new Map(), isDue: false, done: 0, failed: 0 });
      }
    }
  }

  /** Makes the queues and schedules what they are declared to be. */
  async declare(): Promise<void> {
    const { boss } = this.jobs;
    await boss.createQueue(DEAD, { retentionSeconds: DEAD_KEPT_S });
    for (const { definition } of this.handlers.values()) {
      const { name, policy, payload: _, cron, concurrency: __, ...own } = definition;
      const options = { ...USUAL, ...own };
      await boss.createQueue(name, { ...options, ...(policy && { policy }) });
      await boss.updateQueue(name, options);
      if (cron) await boss.schedule(name, cron, { payload: '{}' });
    }
    for (const { name } of await boss.getSchedules())
      if (!this.handlers.get(name)?.definition.cron) await boss.unschedule(name);
  }
}
