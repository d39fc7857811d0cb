import { createHash } from 'node:crypto';
import { escapeIdentifier } from 'pg';

/** Words that must be quoted to name a column or table (PostgreSQL manual, appendix C: reserved). */
const RESERVED = new Set(
  `all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate collation column
  concurrently constraint create cross current_catalog current_date current_role current_schema current_time
  current_timestamp current_user default deferrable desc distinct do else end except false fetch for foreign freeze from
  full grant group having ilike in initially inner intersect into is isnull join lateral leading left like limit localtime
  localtimestamp natural not notnull null offset on only or order outer overlaps placing primary references returning right
  select session_user similar some symmetric system_user table tablesample then to trailing true union unique user using
  variadic verbose when where window with`.split(/\s+/),
);

/** A name in SQL, quoted if necessary. */
export const identifier = (name: string): string =>
  /^[a-z_][a-z0-9_]*$/.test(name) && !RESERVED.has(name) ? name : escapeIdentifier(name);

/** PostgreSQL cuts the name of a prepared statement after so many bytes. */
const LONGEST = 63;

/** The name of a prepared statement. A long one ends in a hash, since others may begin like it. */
export function statementName(name: string): string {
  if (Buffer.byteLength(name) <= LONGEST) return name;
  return `${name.slice(0, 15)}_${createHash('sha256').update(name).digest('hex').slice(0, 32)}`;
}
