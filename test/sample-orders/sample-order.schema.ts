import { z } from 'zod';
import {
  changesQuery,
  defineResource,
  exportQuery,
  listQuery,
  mergePatchOf,
  resourceId,
  shownAs,
} from '../../src/platform/resource/definition.js';
import { equal } from '../../src/platform/resource/filters.js';
import { moment } from '../../src/platform/resource/moment.js';
import { ownedBy } from '../../src/platform/resource/policy.js';
import { SampleOrder } from './sample-order.entity.js';

const status = z.enum(['open', 'paid', 'sent', 'cancelled']);
const line = z.strictObject({ article: z.string().min(1).max(100), count: z.int().min(1).max(1000) });

/** What a client sends to make or replace an order. */
export const sampleOrderInput = z
  .strictObject({
    number: z.string().regex(/^[A-Z0-9-]{1,30}$/, 'must be 1 to 30 of A-Z, 0-9 and -'),
    status: status.default('open'),
    total: z.string().regex(/^\d{1,10}\.\d\d$/, 'must be an amount like 12.50'),
    lines: z.array(line).min(1).max(100),
    note: z.string().max(1000).nullable().default(null),
    deliveryAt: moment.nullable().default(null),
  })
  .meta({
    id: 'SampleOrderInput',
    examples: [{ number: 'A-1', total: '12.50', lines: [{ article: 'pen', count: 5 }] }],
  });
export type SampleOrderInput = z.infer<typeof sampleOrderInput>;

/** What clients see: each member is a column of the entity, and a column that is not here stays hidden. */
export const sampleOrderSchema = z
  .object({
    id: resourceId,
    ownerId: z.uuid(),
    ...shownAs(sampleOrderInput),
    version: z.int().min(1),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
  })
  .meta({ id: 'SampleOrder' });

/** Orders are for their owner and admins; lists are sorted by time or total, each by an index of the migration. */
export const sampleOrders = defineResource(SampleOrder, {
  name: 'sample order',
  path: '/api/v1/sample-orders',
  shown: sampleOrderSchema,
  input: sampleOrderInput,
  policy: ownedBy('ownerId'),
  changes: 'ownerId',
  webhooks: true,
  sorts: ['createdAt', 'total'],
  filters: { status: equal('status', status) },
  conflicts: { sample_orders_number: 'You have an order of this number.' },
});

export const sampleOrderPatch = mergePatchOf(sampleOrderInput, 'SampleOrderPatch');
export const sampleOrderQuery = listQuery(sampleOrders);
export const sampleOrderExport = exportQuery(sampleOrders);
export const sampleOrderChanges = changesQuery(sampleOrders);
