import { escapeLiteral } from 'pg';
import type { Statement } from '../platform/database/database.js';
import { KEPT } from '../platform/http/idempotency.js';

/** A record as clients see it, its JSON made by PostgreSQL, and its entity tag. */
export interface StoredRecord {
  id: string;
  collectionId: string;
  json: string;
  etag: string;
}

export interface ListedRecord {
  id: string;
  json: string;
  occurredAt: Date;
}

const time = (column: string) => `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

/** Text put together in PostgreSQL costs half of what rows made into objects and then into JSON cost. */
const JSON_TEXT = `'{"id":"' || id || '","data":' || data || ',"occurredAt":"' || ${time('occurred_at')}
  || '","version":' || version || ',"createdAt":"' || ${time('created_at')} || '","updatedAt":"' || ${time('updated_at')} || '"}'`;

/** As entityTag() makes it. */
const ETAG = `'"' || version || '-' || to_hex((extract(epoch FROM created_at) * 1000)::bigint) || '"'`;

const STORED = `id, collection_id AS "collectionId", ${JSON_TEXT} AS json, ${ETAG} AS etag`;

/** Inserts nothing when the collection has gone. */
export const CREATE: Statement = {
  name: 'record_create',
  text: `INSERT INTO records (collection_id, data, occurred_at)
         SELECT id, $2::jsonb, coalesce($3::timestamptz, now()) FROM collections WHERE id = $1
         RETURNING ${STORED}`,
};

/**
 * The same under an Idempotency-Key, in one statement: the key is taken together with the answer, or neither. Gives
 * nothing back when the key was taken before or the collection has gone.
 */
export const CREATE_ONCE: Statement = {
  name: 'record_create_once',
  text: `WITH input AS (
           SELECT uuidv7() AS id, id AS collection_id, $2::jsonb AS data, coalesce($3::timestamptz, now())::timestamptz(3) AS occurred_at,
             1 AS version, now()::timestamptz(3) AS created_at, now()::timestamptz(3) AS updated_at
           FROM collections WHERE id = $1),
         answer AS (SELECT *, ${JSON_TEXT} AS json FROM input),
         taken AS (
           INSERT INTO idempotency_keys AS k (caller_id, key, fingerprint, body) SELECT $4, $5, $6, json FROM answer
           ON CONFLICT (caller_id, key) DO UPDATE SET fingerprint = excluded.fingerprint, body = excluded.body,
             items = 0, digest = NULL, report = NULL, holder = NULL, created_at = now()
           WHERE k.created_at < now() - ${KEPT} RETURNING 1),
         made AS (
           INSERT INTO records (id, collection_id, data, occurred_at, version, created_at, updated_at)
           SELECT id, collection_id, data, occurred_at, version, created_at, updated_at FROM answer WHERE EXISTS (SELECT FROM taken))
         SELECT id, collection_id AS "collectionId", json, ${ETAG} AS etag FROM answer WHERE EXISTS (SELECT FROM taken)`,
};

/** What became of an Idempotency-Key. */
export const FIND_KEY: Statement = {
  name: 'idempotency_key_find',
  text: `SELECT fingerprint, body FROM idempotency_keys WHERE caller_id = $1 AND key = $2`,
};

export const GET_MANY: Statement = {
  name: 'record_get_many',
  text: `SELECT ${STORED} FROM records WHERE id = ANY ($1)`,
};

export const UPDATE = `
  UPDATE records SET data = $2::jsonb, occurred_at = $3::timestamptz, version = version + 1, updated_at = now()
  WHERE id = $1 RETURNING ${STORED}`;

/** Limits (with the row beyond) that many callers use; others are not worth a prepared statement each. */
const USUAL_LIMITS = new Set([21, 101]);

/** What a list, an export and statistics may be narrowed to. */
export interface Filter {
  collectionId: string;
  from?: string | undefined;
  to?: string | undefined;
  /** JSON that `data` must contain. */
  where?: string | undefined;
}

/** The conditions of a filter, as SQL; `place` puts a value into the text, as a parameter or a literal. */
export function conditionsOf({ collectionId, from, to, where }: Filter, place: (value: string) => string): string {
  const conditions = [`collection_id = ${place(collectionId)}`];
  if (from !== undefined) conditions.push(`occurred_at >= ${place(from)}`);
  if (to !== undefined) conditions.push(`occurred_at < ${place(to)}`);
  if (where !== undefined) conditions.push(`data @> ${place(where)}::jsonb`);
  return conditions.join(' AND ');
}

export interface ListFilter extends Filter {
  order: 'asc' | 'desc';
  /** The time and id of the last record of the page before. */
  after?: string[] | undefined;
  limit: number;
}

/**
 * The keyset list: a row comparison is one range of the index records_newest, read in either direction.
 * With `where` the plan depends on the values (this index, or the GIN index on `data`), so it is made anew each time.
 */
export function listStatement(filter: ListFilter): { statement: Statement; values: unknown[] } {
  const { order, from, to, where, after, limit } = filter;
  const values: unknown[] = [];
  const parameter = (value: unknown) => `$${values.push(value)}`;
  // Behind a cursor the bound where the list began holds anyway, and PostgreSQL would read on from there again.
  const begun = after === undefined ? {} : order === 'desc' ? { to: undefined } : { from: undefined };
  let conditions = conditionsOf({ ...filter, ...begun }, parameter);
  if (after)
    conditions += ` AND (occurred_at, id) ${order === 'desc' ? '<' : '>'} (${after.map(parameter).join(', ')})`;
  const text = `SELECT id, ${JSON_TEXT} AS json, occurred_at AS "occurredAt" FROM records
    WHERE ${conditions} ORDER BY occurred_at ${order}, id ${order} LIMIT ${limit}`;
  if (where !== undefined || !USUAL_LIMITS.has(limit)) return { statement: { text }, values };
  const shape = [order, from && 'from', to && 'to', after && 'after', limit].filter(Boolean).join('_');
  return { statement: { name: `record_list_${shape}`, text }, values };
}

/**
 * COPY of all records that match, newest first. JSON has no raw control characters, so with two of them as quote and
 * delimiter nothing is ever escaped, and COPY's lines are NDJSON as they are. COPY takes no parameters, only literals.
 */
export function exportStatement(filter: Filter, order: 'asc' | 'desc'): string {
  const conditions = conditionsOf(filter, escapeLiteral);
  return `COPY (SELECT ${JSON_TEXT} FROM records WHERE ${conditions} ORDER BY occurred_at ${order}, id ${order})
    TO STDOUT WITH (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')`;
}
