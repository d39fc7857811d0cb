import { z } from 'zod';
import { defineJob } from '../../jobs/definition.js';

const id = z.uuid();

/** Delivers what a webhook has not had. The row says how far it is, so that a job that is lost loses nothing. */
export const deliver = defineJob({
  name: 'webhooks.deliver',
  payload: z.object({ id }),
  policy: 'exclusive',
  retryDelay: 1,
  retryDelayMax: 10,
  expireInSeconds: 300,
});

/** An event that failed while others did not. */
export const redeliver = defineJob({
  name: 'webhooks.redeliver',
  payload: z.object({ id, event: z.object({ id: z.string(), body: z.string() }) }),
  // By its pauses of 450 s on average, it is tried for a day.
  retryLimit: 200,
});

/** Finds what nobody was woken for. */
export const look = defineJob({
  name: 'webhooks.look',
  payload: z.object({}),
  policy: 'exclusive',
  cron: '* * * * *',
});
