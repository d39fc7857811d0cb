import { z } from 'zod';
import type { Config } from '../platform/config.token.js';
import { isObject } from '../platform/exact-json.js';
import { feedParameters } from '../platform/feed/asked.js';
import { Answer } from '../platform/http/answer.js';
import { parseJson } from '../platform/http/json.js';
import { type Mistake, Problem } from '../platform/http/problem.js';
import type { StoredRow } from '../platform/resource/creations.js';
import { bound, moment } from '../platform/resource/moment.js';
import { pageOf, pageParameters } from '../platform/resource/page.js';
import type { Collection } from './collection.entity.js';
import { cachingOf, tagsOf } from './collection.schema.js';

const occurredAt = moment.meta({
  description: 'When it happened (RFC 3339), truncated to milliseconds. Default: now.',
  examples: ['2001-01-01T12:30:00Z'],
});

const jsonValue = z.unknown().meta({
  id: 'JsonValue',
  description:
    'Any JSON. Numbers lie within ±(2^53−1) and have 400 decimals at most, strings and names hold no NUL, nesting ends at 32 levels, and no object has a member `__proto__`, or `prototype` in `constructor`.',
});

const data = z
  .custom<Record<string, unknown>>(isObject, {
    error: ({ input }) => (input === undefined ? 'is missing' : 'must be an object'),
  })
  .meta({
    id: 'RecordData',
    type: 'object',
    additionalProperties: { $ref: '#/components/schemas/JsonValue' },
    description:
      'Any JSON object of up to 65,536 bytes, without white space and with its numbers written out (`1e-3` is `0.001`). The server returns the same values, each number to its last digit. These may differ: the order of names, white space, escapes, and the form of a number (`1e2` is `100`, `1.0` may be `1`, `-0` is `0`). Of several members with the same name, the last one counts.',
    examples: [{ delay: 14, distance: 405 }],
  });

export const recordInputSchema = z
  .strictObject({ data, occurredAt: occurredAt.optional() })
  .meta({ id: 'RecordInput' });
export type RecordInput = z.infer<typeof recordInputSchema>;

export const recordReplacementSchema = z
  .strictObject({ data, occurredAt: moment.optional().meta({ description: 'When it happened. Default: unchanged.' }) })
  .meta({ id: 'RecordReplacement' });

/** The result is validated after the merge, since a null in `data` removes a member there. */
export const recordPatchSchema = z.strictObject({ data: data.optional(), occurredAt: occurredAt.optional() }).meta({
  id: 'RecordPatch',
  description: 'JSON Merge Patch (RFC 7396): in `data`, a null removes the member.',
  examples: [{ data: { delay: 15, distance: null } }],
});
export type RecordPatch = z.infer<typeof recordPatchSchema>;

export const recordSchema = z
  .object({
    id: z.uuid(),
    data,
    occurredAt: z.iso.datetime(),
    version: z.int().min(1),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
  })
  .meta({ id: 'DataRecord' });

export const recordPage = pageOf('RecordPage', recordSchema);

/** Parses JSON from a query. A mistake names the parameter, with the place in its value in the detail. */
function toObjectText(text: string, context: z.RefinementCtx): string {
  let detail = 'must be a JSON object';
  try {
    const value = parseJson(Buffer.from(text), 'where');
    if (isObject(value)) return JSON.stringify(value);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    const [mistake] = (error.members.errors as Mistake[] | undefined) ?? [];
    if (mistake) detail = `${mistake.pointer.replaceAll('\0', '\ufffd')} ${mistake.detail}`;
  }
  context.addIssue(detail);
  return z.NEVER;
}

const filterParameters = {
  from: bound.optional().meta({ description: 'Only records at or after this time.' }),
  to: bound.optional().meta({ description: 'Only records before this time.' }),
  where: z
    .string()
    .max(4096)
    .transform(toObjectText)
    .optional()
    .meta({
      description: 'A JSON object, like `{"distance":405}`: only records whose `data` contains it.',
      format: 'json-object',
      contentMediaType: 'application/json',
      contentSchema: { $ref: '#/components/schemas/RecordData' },
    }),
};
const order = z.enum(['desc', 'asc']).default('desc').meta({ description: 'By `occurredAt`: newest or oldest first.' });

export const recordQuery = z.strictObject({ ...pageParameters, order, ...filterParameters });
export type RecordQuery = z.infer<typeof recordQuery>;

export const exportQuery = z.strictObject({ order, ...filterParameters });
export type ExportQuery = z.infer<typeof exportQuery>;

export const changesQuery = z.strictObject({ ...feedParameters, ...filterParameters });
export type ChangesQuery = z.infer<typeof changesQuery>;

const field = z.string().max(256);

export const statsQuery = z.strictObject({
  bucket: z
    .enum(['minute', 'hour', 'day', 'month'])
    .default('day')
    .meta({ description: 'The width of a bucket of `occurredAt`, in UTC.' }),
  by: field.optional().meta({ description: 'A top-level field of `data`: its most common values are counted too.' }),
  ...filterParameters,
});
export type StatsQuery = z.infer<typeof statsQuery>;

const count = z.int().min(0);

export const statsSchema = z
  .object({
    total: z.object({
      count,
      isEstimate: z.boolean().meta({
        description:
          'False: the total is exact, and is the sum of all buckets. True: it counts only what `progress` says.',
      }),
    }),
    progress: z
      .number()
      .min(0)
      .max(1)
      .meta({
        description:
          'The share of the records that is counted, the newest first; 1 as soon as all are. A large collection that is counted for the first time is counted on after the answer: ask again. Until then `values` are incomplete, and so are the buckets if the total is an estimate.',
        examples: [1],
      }),
    bucket: z.string().meta({ examples: ['day'] }),
    buckets: z
      .array(z.object({ from: z.iso.datetime(), count }))
      .meta({ description: 'The newest 1,000 buckets that are not empty, newest first.' }),
    by: z
      .string()
      .meta({ examples: ['distance'] })
      .nullable(),
    values: z
      .array(z.object({ value: jsonValue, count }))
      .nullable()
      .meta({ description: 'The 20 most common values of the field, the most common first; null without `by`.' }),
    areValuesExact: z.boolean().nullable().meta({
      description:
        'Null without `by`. False: not all records are counted yet, or a large collection has so many values that rare ones were left out of parts of it; then values can be missing, and counts can be too low.',
    }),
  })
  .meta({ id: 'Stats' });

export const recordId = z.uuid().toLowerCase().meta({ description: 'Id of the record.' });

/** The path of a record, which is also its cache key. */
export const recordPath = (collection: string, id: string): string =>
  `/api/v1/data/${collection}/records/${id.toLowerCase()}`;

export const recordAnswer = (
  collection: Collection,
  { json, etag }: StoredRow,
  config: Config,
  headers: Record<string, string> = {},
): Answer => {
  const all = { ...cachingOf(collection, config), ...headers };
  return new Answer(json, { etag, tags: tagsOf(collection), headers: all });
};
