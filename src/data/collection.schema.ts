import { z } from 'zod';
import type { Config } from '../platform/config.token.js';
import { Answer } from '../platform/http/answer.js';
import { entityTag } from '../platform/http/entity-tag.js';
import { caching } from '../platform/http/shared-caches.js';
import { pageOf, pageParameters } from '../platform/resource/page.js';
import type { Collection } from './collection.entity.js';

export const COLLECTION = /^[a-z][a-z0-9-]{0,62}$/;

export const collectionName = z
  .string()
  .regex(COLLECTION, 'must be 1 to 63 characters of a-z, 0-9 and -, and begin with a letter')
  .meta({ description: 'Name of the collection.', examples: ['flights'] });

const visibility = z
  .enum(['private', 'public'])
  .meta({ description: 'private: only its owner and admins may read it. public: anyone may read it.' });

export const collectionSchema = z
  .object({
    name: z.string().meta({ examples: ['flights'] }),
    visibility,
    description: z
      .string()
      .meta({ examples: ['Flights of 2001'] })
      .nullable(),
    ownerId: z.uuid(),
    version: z.int().min(1),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
  })
  .meta({ id: 'Collection', description: 'A named set of records.' });

export const collectionInputSchema = z
  .strictObject({ visibility, description: z.string().max(1000).nullable().optional() })
  .meta({ id: 'CollectionInput', examples: [{ visibility: 'public', description: 'Flights of 2001' }] });
export type CollectionInput = z.infer<typeof collectionInputSchema>;

export const collectionQuery = z.strictObject(pageParameters);
export type CollectionQuery = z.infer<typeof collectionQuery>;

export const collectionPage = pageOf('CollectionPage', collectionSchema);

const SHOWN = Object.keys(collectionSchema.shape);

/** A collection as JSON, with the schema's members only. */
const presentCollection = (collection: Collection): string => JSON.stringify(collection, SHOWN);

/** @param config left out for lists, which are always revalidated */
export const cachingOf = ({ visibility }: Pick<Collection, 'visibility'>, config?: Config): Record<string, string> =>
  caching(visibility === 'public', config);

/** Cache tags of answers about a collection and its records: the collection, and its owner, with whom it is deleted. */
export const tagsOf = ({ name, ownerId }: Collection): string[] => [collectionTag(name), `user:${ownerId}`];
export const collectionTag = (name: string): string => `collection:${name}`;

export const collectionPath = (name: string): string => `/api/v1/data/${name}`;

/** @param isNew whether the request has created the collection */
export const collectionAnswer = (collection: Collection, config: Config, isNew = false): Answer =>
  new Answer(presentCollection(collection), {
    status: isNew ? 201 : 200,
    etag: entityTag(collection),
    tags: tagsOf(collection),
    headers: {
      ...cachingOf(collection, config),
      ...(isNew ? { location: collectionPath(collection.name) } : {}),
    },
  });
