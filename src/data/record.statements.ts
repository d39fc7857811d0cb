import { escapeLiteral } from 'pg';
import type { Statement } from '../platform/database/database.js';
import { KEPT } from '../platform/http/idempotency.js';
import { PAGE_BYTES } from '../platform/http/page.js';

/** A record as clients see it, its JSON made by PostgreSQL, and its entity tag. */
export interface StoredRecord {
  id: string;
  collectionId: string;
  json: string;
  etag: string;
}

/** A page of records as one JSON text, and where the next one begins, if there is one. */
export interface RecordPageRow {
  items: string | null;
  at: string | null;
  id: string | null;
}

/**
 * A time as JSON text: to_json's own, which has no zeros at its end, with a microsecond added so that there are always six
 * digits, of which three stay. It takes half of what to_char() takes.
 */
const time = (column: string) =>
  `left(to_json(${column} AT TIME ZONE INTERVAL '0' + INTERVAL '1 us')::text, 24) || 'Z"'`;

/** The same as text. */
export const momentOf = (column: string) => `trim('"' FROM ${time(column)})`;

/** Text put together in PostgreSQL costs half of what rows made into objects and then into JSON cost. */
const JSON_TEXT = `'{"id":"' || id || '","data":' || data || ',"occurredAt":' || ${time('occurred_at')}
  || ',"version":' || version || ',"createdAt":' || ${time('created_at')} || ',"updatedAt":' || ${time('updated_at')} || '}'`;

/** As entityTag() makes it. */
const ETAG = `'"' || version || '-' || to_hex((extract(epoch FROM created_at) * 1000)::bigint) || '"'`;

const STORED = `id, collection_id AS "collectionId", ${JSON_TEXT} AS json, ${ETAG} AS etag`;

/**
 * Makes records, and takes the Idempotency-Keys under which they are made, if they are, together with the answers: all in one
 * statement. Gives nothing back for those whose key was taken before or whose collection has gone. Keys are taken in one order
 * everywhere: processes that take the same ones wait for one another, and never in a circle.
 */
export const CREATE_MANY: Statement = {
  name: 'record_create_many',
  text: `WITH input AS (
           SELECT n, caller_id, key, fingerprint, uuidv7() AS id, c.id AS collection_id, data::jsonb AS data,
             coalesce(at::timestamptz, now())::timestamptz(3) AS occurred_at,
             1 AS version, now()::timestamptz(3) AS created_at, now()::timestamptz(3) AS updated_at
           FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::text[], $6::bytea[])
             WITH ORDINALITY AS asked (asked_id, data, at, caller_id, key, fingerprint, n) JOIN collections c ON c.id = asked_id),
         answer AS (SELECT *, ${JSON_TEXT} AS json FROM input),
         taken AS (
           INSERT INTO idempotency_keys AS k (caller_id, key, fingerprint, body, collection_id)
           SELECT caller_id, key, fingerprint, json, collection_id FROM answer WHERE key IS NOT NULL ORDER BY caller_id, key
           ON CONFLICT (caller_id, key) DO UPDATE SET fingerprint = excluded.fingerprint, body = excluded.body,
             collection_id = excluded.collection_id, items = 0, digest = NULL, report = NULL, holder = NULL, created_at = now()
           WHERE k.created_at < now() - ${KEPT} RETURNING caller_id, key),
         good AS (SELECT * FROM answer WHERE key IS NULL OR (caller_id, key) IN (SELECT * FROM taken)),
         made AS (
           INSERT INTO records (id, collection_id, data, occurred_at, version, created_at, updated_at)
           SELECT id, collection_id, data, occurred_at, version, created_at, updated_at FROM good)
         SELECT n::int, id, collection_id AS "collectionId", json, ${ETAG} AS etag FROM good`,
};

/** What became of an Idempotency-Key. */
export const FIND_KEY: Statement = {
  name: 'idempotency_key_find',
  text: `SELECT fingerprint, body FROM idempotency_keys WHERE caller_id = $1 AND key = $2`,
};

export const GET_MANY: Statement = {
  name: 'record_get_many',
  isShort: 'many',
  text: `SELECT ${STORED} FROM records WHERE id = ANY ($1)`,
};

export const UPDATE = `
  UPDATE records SET data = $2::jsonb, occurred_at = $3::timestamptz, version = version + 1, updated_at = now()
  WHERE id = $1 RETURNING ${STORED}`;

/** Limits that many callers use; others are not worth a prepared statement each. */
const USUAL_LIMITS = new Set([20, 100]);

/** The end of a list's statement: all rows of the page but the one too many, which says that there is a next page. */
const wholePage = (limit: number) => `
    written AS (SELECT id, occurred_at, ${JSON_TEXT} AS json FROM page),
    placed AS (SELECT *, row_number() OVER () AS place, count(*) OVER () AS count FROM written)
    ${pageOf(`place <= ${limit}`, `place = ${limit} AND count > place`)}`;

/**
 * The same, cut where PAGE_BYTES are full. What is stored is compressed, and its length known without reading it: rows for
 * which there can be no room are not made into JSON.
 */
function cutPage(limit: number): string {
  const isShown = `place <= ${limit} AND (place = 1 OR bytes <= ${PAGE_BYTES})`;
  const isLast = `${isShown} AND is_followed AND (place = ${limit} OR next IS NULL OR bytes + next > ${PAGE_BYTES})`;
  return `
    stored AS (
      SELECT *, row_number() OVER so_far AS place, lead(id) OVER so_far IS NOT NULL AS is_followed,
        sum(pg_column_size(data)) OVER so_far - pg_column_size(data) AS before
      FROM page WINDOW so_far AS (ROWS UNBOUNDED PRECEDING)),
    written AS (
      SELECT id, occurred_at, place, is_followed, ${JSON_TEXT} AS json FROM stored WHERE before <= ${PAGE_BYTES} OFFSET 0),
    placed AS (
      SELECT *, sum(octet_length(json)) OVER so_far AS bytes, lead(octet_length(json)) OVER so_far AS next
      FROM written WINDOW so_far AS (ROWS UNBOUNDED PRECEDING))
    ${pageOf(isShown, isLast)}`;
}

const pageOf = (isShown: string, isLast: string) => `
    SELECT string_agg(json, ',') FILTER (WHERE ${isShown}) AS items,
      ${momentOf(`max(occurred_at) FILTER (WHERE ${isLast})`)} AS at, max(id::text) FILTER (WHERE ${isLast}) AS id
    FROM placed`;

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
  /** The page may have more than PAGE_BYTES. */
  isCut: boolean;
}

/**
 * The keyset list: a row comparison is one range of the index records_newest, read in either direction.
 * With `where` the plan depends on the values (this index, or the GIN index on `data`), so it is made anew each time.
 */
export function listStatement(filter: ListFilter): { statement: Statement; values: unknown[] } {
  const { order, from, to, where, after, limit, isCut } = filter;
  const values: unknown[] = [];
  const parameter = (value: unknown) => `$${values.push(value)}`;
  // Behind a cursor the bound where the list began holds anyway, and PostgreSQL would read on from there again.
  const begun = after === undefined ? {} : order === 'desc' ? { to: undefined } : { from: undefined };
  let conditions = conditionsOf({ ...filter, ...begun }, parameter);
  if (after)
    conditions += ` AND (occurred_at, id) ${order === 'desc' ? '<' : '>'} (${after.map(parameter).join(', ')})`;
  const text = `
    WITH page AS (SELECT * FROM records WHERE ${conditions} ORDER BY occurred_at ${order}, id ${order} LIMIT ${limit + 1}),
    ${isCut ? cutPage(limit) : wholePage(limit)}`;
  if (where !== undefined || !USUAL_LIMITS.has(limit)) return { statement: { text }, values };
  const shape = [order, from && 'from', to && 'to', after && 'after', isCut && 'cut', limit].filter(Boolean).join('_');
  return { statement: { name: `record_list_${shape}`, text, isShort: 'one' }, values };
}

/**
 * COPY of all records that match, newest first. JSON has no raw control characters, so with two of them as quote and
 * delimiter nothing is ever escaped, and COPY's lines are NDJSON as they are. COPY takes no parameters, only literals.
 */
export function exportStatement(filter: Filter, order: 'asc' | 'desc'): string {
  const conditions = conditionsOf(filter, escapeLiteral);
  // Just after an upload PostgreSQL knows nothing of the rows yet, and would sort them all before the first is sent.
  const walk = filter.where === undefined ? 'SET LOCAL enable_sort = off; ' : '';
  // The connection has no time-out, unless a pooler left it the role's.
  return `SET LOCAL statement_timeout = 0; ${walk}COPY (SELECT ${JSON_TEXT} FROM records WHERE ${conditions} ORDER BY occurred_at ${order}, id ${order})
    TO STDOUT WITH (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')`;
}
