import type { Statement } from '../platform/database/database.js';

/** A record as clients see it, its JSON made by PostgreSQL, with what its entity tag is made of. */
export interface StoredRecord {
  id: string;
  json: string;
  version: number;
  createdAt: Date;
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

const STORED = `id, ${JSON_TEXT} AS json, version, created_at AS "createdAt"`;

/** Inserts nothing when the collection has gone. */
export const CREATE: Statement = {
  name: 'record_create',
  text: `INSERT INTO records (collection_id, data, occurred_at)
         SELECT id, $2::jsonb, coalesce($3::timestamptz, now()) FROM collections WHERE id = $1
         RETURNING ${STORED}`,
};

export const GET: Statement = {
  name: 'record_get',
  text: `SELECT ${STORED} FROM records WHERE id = $1 AND collection_id = $2`,
};

export const UPDATE = `
  UPDATE records SET data = $2::jsonb, occurred_at = $3::timestamptz, version = version + 1, updated_at = now()
  WHERE id = $1 RETURNING ${STORED}`;

/** Limits (with the row beyond) that many callers use; others are not worth a prepared statement each. */
const USUAL_LIMITS = new Set([21, 101]);

export interface ListFilter {
  collectionId: string;
  order: 'asc' | 'desc';
  from?: string | undefined;
  to?: string | undefined;
  /** JSON that `data` must contain. */
  where?: string | undefined;
  /** The time and id of the last record of the page before. */
  after?: string[] | undefined;
  limit: number;
}

/**
 * The keyset list: a row comparison is one range of the index records_newest, read in either direction.
 * With `where` the plan depends on the values (this index, or the GIN index on `data`), so it is made anew each time.
 */
export function listStatement(filter: ListFilter): { statement: Statement; values: unknown[] } {
  const { collectionId, order, from, to, where, after, limit } = filter;
  const values: unknown[] = [collectionId];
  const parameter = (value: unknown) => `$${values.push(value)}`;
  const conditions = ['collection_id = $1'];
  // Behind a cursor the bound where the list began holds anyway, and PostgreSQL would read on from there again.
  const isBegun = (first: 'asc' | 'desc') => after !== undefined && order === first;
  if (from !== undefined && !isBegun('asc')) conditions.push(`occurred_at >= ${parameter(from)}`);
  if (to !== undefined && !isBegun('desc')) conditions.push(`occurred_at < ${parameter(to)}`);
  if (after !== undefined) {
    conditions.push(`(occurred_at, id) ${order === 'desc' ? '<' : '>'} (${after.map(parameter).join(', ')})`);
  }
  if (where !== undefined) conditions.push(`data @> ${parameter(where)}::jsonb`);
  const direction = order.toUpperCase();
  const text = `SELECT id, ${JSON_TEXT} AS json, occurred_at AS "occurredAt" FROM records
    WHERE ${conditions.join(' AND ')} ORDER BY occurred_at ${direction}, id ${direction} LIMIT ${limit}`;
  const shape = [order, from && 'from', to && 'to', after && 'after', limit].filter(Boolean).join('_');
  const isPrepared = where === undefined && USUAL_LIMITS.has(limit);
  return { statement: isPrepared ? { name: `record_list_${shape}`, text } : { text }, values };
}
