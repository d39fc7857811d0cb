import { setTimeout as sleep } from 'node:timers/promises';
import {
  type BeforeApplicationShutdown,
  Inject,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import type { JobWithMetadata } from 'pg-boss';
import { CONFIG, type Config } from '../config.token.js';
import { Lifecycle } from '../lifecycle/lifecycle.js';
import { DEAD, type Handler, JobQueues } from './job-queues.js';
import { inTrace } from './job-traces.js';
import { type JobData, Jobs } from './jobs.js';

/** How often to look for jobs that another process has enqueued, or whose time has come. */
const POLL_MS = 1000;
const LONGEST_PAUSE_MS = 10_000;
const DECLARED_MS = 300_000;
/** A third of the time after which a worker without a sign of life is lost. */
const BEAT_MS = 5000;
/** How often the end of a job is told again while PostgreSQL does not answer, and the pause between. */
const TELLINGS = 20;
const TELLING_PAUSE_MS = 1000;
const TOLD_CHARACTERS = 1000;
/** The share of DRAIN_TIMEOUT_MS after which jobs in hand are given back. */
const PATIENCE = 0.75;

/** For each queue: how many jobs wait, as pg-boss has counted last, and for how many seconds the oldest has been due. */
const LOOK = `
  SELECT q.name, q.ready_count AS waiting, extract(epoch FROM now() - due.start_after)::float8 AS age
  FROM pgboss.queue q, LATERAL (
    SELECT min(oldest.start_after) AS start_after
    FROM unnest('{created,retry}'::pgboss.job_state[]) AS one (state), LATERAL (
      SELECT start_after FROM pgboss.job j
      WHERE j.name = q.name AND j.state = one.state AND j.blocked = false AND j.start_after <= now()
      ORDER BY start_after LIMIT 1) AS oldest) AS due
  WHERE q.name = ANY ($1)`;
/** As if it had never been fetched, so that the attempt does not count. */
const GIVE_BACK = `
  UPDATE pgboss.job SET state = 'created', started_on = NULL, heartbeat_on = NULL
  WHERE name = $1 AND id = ANY ($2::uuid[]) AND state = 'active'`;

interface Look {
  name: string;
  waiting: number;
  age: number | null;
}

/** Those of a job in this process, and of its queue when it has been looked at. */
export type Figures = Partial<Look> & { active: number; done: number; failed: number };

/** Works jobs, unless WORKER is off: those of many names on one poll, each at once when the one before is done. */
@Injectable()
export class JobWorker implements OnApplicationBootstrap, BeforeApplicationShutdown {
  /** What was seen last, by name. */
  looks = new Map<string, Look>();
  private readonly logger = new Logger(JobWorker.name);
  private readonly running = new Set<Promise<void>>();
  private readonly ending = new AbortController();
  private woken = new AbortController();
  private lookedAt = Number.NEGATIVE_INFINITY;
  private declaredAt = Number.NEGATIVE_INFINITY;
  private loop: Promise<void> | undefined;
  private beat: NodeJS.Timeout | undefined;

  constructor(
    private readonly jobs: Jobs,
    private readonly queues: JobQueues,
    private readonly lifecycle: Lifecycle,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    this.queues.discover();
    if (this.queues.handlers.size === 0) return;
    // Without PostgreSQL, or the schema, it is tried again.
    await this.declare().catch(() => {});
    this.loop = this.run();
    this.beat = setInterval(() => void this.touch().catch(() => {}), BEAT_MS).unref();
    this.jobs.onEnqueued = (name) => {
      const handler = this.queues.handlers.get(name);
      if (handler) handler.isDue = true;
      this.woken.abort();
    };
  }

  /** Fetches nothing more, lets jobs in hand finish, and gives back in time what is not done. */
  async beforeApplicationShutdown(): Promise<void> {
    this.ending.abort();
    this.woken.abort();
    const patience = sleep(PATIENCE * this.config.DRAIN_TIMEOUT_MS, undefined, { ref: false });
    await Promise.race([this.loop?.then(() => Promise.all(this.running)), patience]);
    clearInterval(this.beat);
    for (const [name, { active }] of this.busy()) {
      for (const stop of active.values()) stop.abort(new Error('The process ends.'));
      await this.jobs.ask(GIVE_BACK, [name, [...active.keys()].map(({ id }) => id)]).catch(() => {});
    }
    await this.jobs.boss.stop({ graceful: false });
  }

  figures(): [job: string, figures: Figures][] {
    return [...this.queues.handlers].map(([job, { active, done, failed }]) => [
      job,
      { ...this.looks.get(job), active: active.size, done, failed },
    ]);
  }

  private async declare(): Promise<void> {
    // Again now and then: an older release that restarts meanwhile takes back what it does not know.
    if (performance.now() - this.declaredAt < DECLARED_MS) return;
    await this.queues.declare();
    this.declaredAt = performance.now();
  }

  private async run(): Promise<void> {
    for (let pause = POLL_MS; !this.ending.signal.aborted; ) {
      try {
        await this.declare();
        if (this.config.WORKER === 'off') return;
        await this.jobs.boss.start();
        await this.fetch();
        pause = POLL_MS;
      } catch (error) {
        this.jobs.complain(`Jobs cannot be fetched: ${(error as Error).message}`);
        pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
      }
      const { signal } = this.woken;
      await sleep(pause * (0.75 + Math.random() / 4), undefined, { ref: false, signal }).catch(() => {});
      if (signal.aborted) this.woken = new AbortController();
    }
  }

  private async fetch(): Promise<void> {
    if (this.lifecycle.isDraining) return;
    if (performance.now() - this.lookedAt > POLL_MS / 2) await this.look();
    const due = [...this.queues.handlers.values()].filter(({ isDue }) => isDue);
    for (const handler of due.sort((a, b) => a.active.size - b.active.size)) {
      const { name, concurrency = 10 } = handler.definition;
      const room = Math.min(concurrency - handler.active.size, this.config.JOB_CONCURRENCY - this.running.size);
      if (room < 1) continue;
      const found = await this.jobs.boss.fetch<JobData>(name, { batchSize: room, includeMetadata: true });
      handler.isDue = found.length === room;
      for (const job of found) {
        const work = this.work(handler, job).finally(() => {
          this.running.delete(work);
          this.woken.abort();
        });
        this.running.add(work);
      }
    }
  }

  private async look(): Promise<void> {
    const { handlers } = this.queues;
    const { rows } = await this.jobs.ask<Look>(LOOK, [[DEAD, ...handlers.keys()]]);
    this.lookedAt = performance.now();
    this.looks = new Map(rows.map((row) => [row.name, row]));
    for (const [name, handler] of handlers) handler.isDue = typeof this.looks.get(name)?.age === 'number';
  }

  private async work(handler: Handler, job: JobWithMetadata<JobData>): Promise<void> {
    const { name, payload } = handler.definition;
    const { id, data, retryCount, retryLimit, expireInSeconds } = job;
    const stop = new AbortController();
    handler.active.set(job, stop);
    const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(1000 * expireInSeconds)]);
    const failure = await inTrace(name, data.trace ?? {}, async () => {
      try {
        await handler.work(payload.parse(JSON.parse(data.payload)), { id, number: retryCount + 1, signal });
      } catch (error) {
        const end = retryCount < retryLimit ? 'will be tried again' : 'is dead';
        this.logger.warn(`The job ${name} ${id} failed in attempt ${retryCount + 1} and ${end}: ${messageOf(error)}`);
        throw error;
      }
    }).then(() => undefined, messageOf);
    await this.tell(stop.signal, () =>
      failure === undefined ? handler.ends.get(job) : this.jobs.boss.fail(name, job, { message: failure }),
    );
    handler[failure === undefined ? 'done' : 'failed']++;
    handler.active.delete(job);
  }

  /** Tells PostgreSQL how a job has ended, unless it was given back. When that fails for long, the job is worked again. */
  private async tell(stopped: AbortSignal, end: () => Promise<unknown>): Promise<void> {
    for (let left = TELLINGS; left > 0 && !stopped.aborted; left--) {
      const isTold = await end().then(
        () => true,
        () => false,
      );
      if (isTold) return;
      await sleep(TELLING_PAUSE_MS, undefined, { ref: false, signal: stopped }).catch(() => {});
    }
  }

  private async touch(): Promise<void> {
    for (const [name, { active }] of this.busy()) await this.jobs.boss.touch(name, [...active.keys()]);
  }

  private busy(): [name: string, handler: Handler][] {
    return [...this.queues.handlers].filter(([, { active }]) => active.size > 0);
  }
}

/** As jsonb accepts it. */
const messageOf = (error: unknown): string =>
  String((error as Error)?.message ?? error)
    .slice(0, TOLD_CHARACTERS)
    .replaceAll('\0', '')
    .toWellFormed();
