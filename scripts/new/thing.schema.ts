import { z } from 'zod';
import {
  defineResource,
  listQuery,
  mergePatchOf,
  resourceId,
  shownAs,
} from '../../src/platform/resource/definition.js';
import { ownedBy } from '../../src/platform/resource/policy.js';
import { Thing } from './thing.entity.js';

/** What a client sends to make or replace one. */
export const thingInput = z
  .strictObject({
    name: z.string().min(1).max(100),
    note: z.string().max(1000).nullable().default(null),
  })
  .meta({ id: 'ThingInput', examples: [{ name: 'A name' }] });
export type ThingInput = z.infer<typeof thingInput>;

/** What clients see: each member is a column of the entity, and a column that is not here stays hidden. */
export const thingSchema = z
  .object({
    id: resourceId,
    ownerId: z.uuid(),
    ...shownAs(thingInput),
    version: z.int().min(1),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
  })
  .meta({ id: 'Thing' });

/** For their owner and admins, newest first. */
export const things = defineResource(Thing, {
  name: 'thing',
  path: '/api/v1/things',
  shown: thingSchema,
  input: thingInput,
  policy: ownedBy('ownerId'),
  sorts: ['createdAt'],
});

export const thingPatch = mergePatchOf(thingInput, 'ThingPatch');
export const thingQuery = listQuery(things);
