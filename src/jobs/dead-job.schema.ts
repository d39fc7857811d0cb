import { z } from 'zod';
import { pageOf, pageParameters } from '../platform/resource/page.js';

export const deadJobId = z.uuid().toLowerCase();

export const deadJobSchema = z
  .object({
    id: deadJobId,
    job: z.string().meta({ description: 'Its name.', examples: ['orders.remind'] }),
    payload: z.unknown().meta({ description: 'As it was enqueued.' }),
    error: z.string().nullable().meta({ description: 'Why the last attempt failed.' }),
    attempts: z.int().min(1),
    enqueuedAt: z.iso.datetime(),
    diedAt: z.iso.datetime(),
  })
  .meta({ id: 'DeadJob', description: 'A job whose attempts have all failed. It is kept for 30 days.' });

export const deadJobQuery = z.strictObject({
  ...pageParameters,
  job: z.string().max(100).optional().meta({ description: 'Only those of this name.' }),
});
export type DeadJobQuery = z.infer<typeof deadJobQuery>;

export const deadJobPage = pageOf('DeadJobPage', deadJobSchema);

export const retriedSchema = z
  .object({ id: z.uuid().meta({ description: "The new job's." }), job: z.string() })
  .meta({ id: 'RetriedJob' });
