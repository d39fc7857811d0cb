import { escapeLiteral as text } from 'pg';
import { momentOf } from '../platform/resource/table.js';
import type { StatsQuery } from './record.schema.js';
import type { Slice } from './slices.js';

/** The most buckets and values in an answer. */
const BUCKETS = 1000;
const COMMONEST = 20;
/** A slice with more records, or a larger share of them, is divided into days, hours, or parts of an hour. */
const SLICE_RECORDS = 100_000;
const SLICE_SHARE = 500;
/** About how many bytes of values a slice keeps, the most common first. */
const SLICE_BYTES = 32_768;

type Range = Pick<StatsQuery, 'from' | 'to'>;

/** How far the figures of an answer are. */
export interface Progress {
  /** The share of the records that is counted, 0 to 1. */
  progress: number;
  isEstimate: boolean;
  areValuesExact: boolean;
}

const time = (moment: string | undefined) =>
  moment === undefined ? 'NULL::timestamptz' : `${text(moment)}::timestamptz`;
const hourOf = (sql: string) => `date_bin('1 hour', ${sql}, '2000-01-01T00:00:00Z')`;
const begin = (unit: string, sql: string) => `date_trunc(${unit}, ${sql}, 'UTC')`;

/** What is known of a collection by the hour (see the migration RecordCounts). An hour may have several rows. */
const hoursOf = (collectionId: string) => `(
  SELECT hour, count, mark FROM record_counts WHERE collection_id = ${text(collectionId)}
  UNION ALL SELECT hour, count, mark FROM record_changes WHERE collection_id = ${text(collectionId)}) AS hours`;
const touch = ({ from, to }: Range) =>
  `hour > coalesce(${time(from)} - interval '1 hour', '-infinity') AND hour < coalesce(${time(to)}, 'infinity')`;

/** Buckets of an hour or longer without reading the records, except in the hours that the range begins and ends in. */
export function bucketsByHour(collectionId: string, { bucket, from, to }: StatsQuery): string {
  const firstWhole = hourOf(`${time(from)} + interval '00:59:59.999'`);
  const cut = (after: string, before: string) => `SELECT occurred_at, 1 FROM records
    WHERE collection_id = ${text(collectionId)} AND occurred_at >= ${after} AND occurred_at < ${before}`;
  return `
    SELECT ${begin(text(bucket), 'at')} AS begun, sum(n) AS count FROM (
      SELECT hour, count FROM ${hoursOf(collectionId)}
      WHERE hour >= coalesce(${time(from)}, '-infinity') AND hour <= coalesce(${time(to)} - interval '1 hour', 'infinity')
      UNION ALL ${cut(time(from), `least(${firstWhole}, ${time(to)})`)}
      UNION ALL ${cut(`greatest(${firstWhole}, ${hourOf(time(to))})`, time(to))}) AS counted (at, n)
    GROUP BY 1 HAVING sum(n) > 0`;
}

export const bucketsOf = (conditions: string, bucket: string): string =>
  `SELECT ${begin(text(bucket), 'occurred_at')} AS begun, count(*) FROM records WHERE ${conditions} GROUP BY 1`;

export const valuesOf = (conditions: string, field: string): string => `
  SELECT data -> ${text(field)}::text AS value, count(*) FROM records WHERE ${conditions} AND data ? ${text(field)} GROUP BY 1`;

/** The sums of all slices, whose JSON is $1. */
export const MERGED_BUCKETS = `
  SELECT (b ->> 0)::timestamptz AS begun, sum((b ->> 1)::bigint) AS count
  FROM jsonb_array_elements($1::jsonb) AS s, jsonb_array_elements(s -> 'buckets') AS b GROUP BY 1`;
export const MERGED_VALUES = `
  SELECT v -> 0 AS value, sum((v ->> 1)::bigint) AS count
  FROM jsonb_array_elements($1::jsonb) AS s, jsonb_array_elements(s -> 'values') AS v GROUP BY 1`;

/** The answer's JSON, in one statement. @param values without, no values are asked for */
export function answer(
  { bucket, by }: StatsQuery,
  buckets: string,
  values: string | undefined,
  { progress, isEstimate, areValuesExact }: Progress = { progress: 1, isEstimate: false, areValuesExact: true },
): string {
  const commonest = `(
    SELECT coalesce(json_agg(json_build_object('value', value, 'count', count)), '[]') FROM (
      SELECT * FROM (${values}) AS valued ORDER BY count DESC, value::text COLLATE "C" LIMIT ${COMMONEST}) AS commonest)`;
  return `
    WITH counted AS (${buckets})
    SELECT json_build_object(
      'total', json_build_object('count', (SELECT coalesce(sum(count), 0) FROM counted), 'isEstimate', ${isEstimate}),
      'progress', ${progress}, 'bucket', ${text(bucket)},
      'buckets', (SELECT coalesce(json_agg(json_build_object('from', ${momentOf('begun')}, 'count', count)), '[]')
        FROM (SELECT * FROM counted ORDER BY begun DESC LIMIT ${BUCKETS}) AS newest),
      'by', ${by === undefined ? 'NULL' : text(by)}, 'values', ${values ? commonest : 'NULL::json'},
      'areValuesExact', ${values ? areValuesExact : 'NULL::json'}) AS stats`;
}

/** Divides a collection into slices, newest first, each with the mark of its hours. */
export const plan = (collectionId: string, range: Range): string => `
  WITH hours AS (
    SELECT hour, sum(count) AS count, bit_xor(mark) AS mark FROM ${hoursOf(collectionId)} WHERE ${touch(range)} GROUP BY hour),
  sized AS (
    SELECT *, greatest(${SLICE_RECORDS}, sum(count) OVER () / ${SLICE_SHARE}) AS most,
      sum(count) OVER (PARTITION BY ${begin("'month'", 'hour')}) AS month,
      sum(count) OVER (PARTITION BY ${begin("'day'", 'hour')}) AS day FROM hours),
  divided AS (
    SELECT *, CASE WHEN month <= most THEN 'month' WHEN day <= most THEN 'day' ELSE 'hour' END AS unit
    FROM sized),
  units AS (
    SELECT ('1 ' || unit)::interval AS width, ${begin('unit', 'hour')} AS begun, sum(count) AS count, bit_xor(mark) AS mark,
      CASE unit WHEN 'hour' THEN greatest(ceil(sum(count) / max(most)), 1) ELSE 1 END AS parts
    FROM divided GROUP BY unit, 2),
  slices AS (
    SELECT greatest(begun + width * n / parts, ${time(range.from)}) AS begun,
      least(begun + width * (n + 1) / parts, ${time(range.to)}) AS ended, mark, count / parts AS count
    FROM units, generate_series(0, parts::int - 1) AS n WHERE count > 0)
  SELECT begun::text, ended::text, mark::text, count::float8 FROM slices WHERE begun < ended ORDER BY slices.begun DESC`;

/** Counts one slice, and tells the mark of its hours at that moment. */
export const slice = (
  collectionId: string,
  { begun: from, ended: to }: Slice,
  buckets = 'SELECT NULL AS begun, 0 AS count WHERE false',
  values = 'SELECT NULL::jsonb AS value, 0 AS count WHERE false',
): string => `
  WITH valued AS (
    SELECT value, count, sum(octet_length(value::text) + 8) OVER (ORDER BY count DESC, value::text COLLATE "C")
      - octet_length(value::text) AS before FROM (${values}) AS valued)
  SELECT (SELECT coalesce(bit_xor(mark), 0)::text FROM ${hoursOf(collectionId)} WHERE ${touch({ from, to })}) AS mark,
    EXISTS (SELECT FROM valued WHERE before > ${SLICE_BYTES}) AS "isCut",
    json_build_object(
      'buckets', (SELECT coalesce(json_agg(json_build_array(begun, count)), '[]') FROM (${buckets}) AS counted),
      'values', (SELECT coalesce(json_agg(json_build_array(value, count)), '[]') FROM valued WHERE before <= ${SLICE_BYTES})
    )::text AS json`;
