import { SetMetadata } from '@nestjs/common';
import type { Queue } from 'pg-boss';
import type { z } from 'zod';

/**
 * A job as its module declares it, with pg-boss's options of its queue: `retryLimit` (5), `retryDelay` (5 s, doubled each
 * time, with jitter), `retryDelayMax` (600 s), `expireInSeconds` of an attempt (900), and `policy`, which cannot be changed
 * later. By `policy: 'singleton'`, one is worked at a time; by `short` or `exclusive`, one waits, and further ones are not
 * stored. With a `key`, this counts for each key.
 */
export interface JobDefinition<Payload extends z.ZodType = z.ZodType>
  extends Pick<Queue, 'name' | 'policy' | 'retryLimit' | 'retryDelay' | 'retryDelayMax' | 'expireInSeconds'> {
  /** Checks the payload when a job is enqueued, and again before it is worked. Keep ids in it, not rows. */
  payload: Payload;
  /** When to enqueue one with the payload `{}`, in UTC: `0 3 * * *`. However many processes there are, it is one job. */
  cron?: string;
  /** Jobs of this name at the same time in a process (10). */
  concurrency?: number;
}

export const defineJob = <Payload extends z.ZodType>(definition: JobDefinition<Payload>) => definition;

/** What a handler knows of its job beside the payload. */
export interface Attempt {
  /** The same in every attempt: a key by which others can tell that something is done already. */
  id: string;
  /** 1 for the first. */
  number: number;
  /** Aborted when the time is up, or when the process ends and another one takes the job. */
  signal: AbortSignal;
}

export const JOB = Symbol('JOB');

/** Makes a provider's method the handler of a job, which may be called more than once for the same one. */
export const Job =
  <Payload extends z.ZodType>(definition: JobDefinition<Payload>) =>
  <Handler extends (payload: z.output<Payload>, attempt: Attempt) => Promise<unknown>>(
    target: object,
    name: string,
    descriptor: TypedPropertyDescriptor<Handler>,
  ): void => {
    SetMetadata(JOB, definition)(target, name, descriptor);
  };
