import type { Client } from 'pg';

/** Of tables that are partitioned by hash, the shares of rows that have no partition. The greatest modulus divides into all. */
const MISSING = `
  WITH bounds AS (
    SELECT partrelid AS parent, bound[1]::int AS modulus, bound[2]::int AS remainder
    FROM pg_partitioned_table JOIN pg_class p ON p.oid = partrelid
      LEFT JOIN pg_inherits ON inhparent = partrelid AND NOT inhdetachpending
      LEFT JOIN pg_class c ON c.oid = inhrelid
      LEFT JOIN LATERAL regexp_match(pg_get_expr(c.relpartbound, c.oid), 'modulus ([0-9]+), remainder ([0-9]+)') AS bound ON true
    WHERE partstrat = 'h' AND p.relnamespace = current_schema()::regnamespace),
  tables AS (SELECT parent, coalesce(max(modulus), 1) AS modulus FROM bounds GROUP BY parent)
  SELECT format('%s (MODULUS %s, REMAINDER %s)', t.parent::regclass, t.modulus, share) AS text
  FROM tables t, generate_series(0, t.modulus - 1) AS share
  WHERE NOT EXISTS (SELECT FROM bounds b WHERE b.parent = t.parent AND share % b.modulus = b.remainder) ORDER BY 1`;

/** The partitions that are missing, each with its table: `records (MODULUS 8, REMAINDER 3)`. */
export async function missingPartitions(client: Client): Promise<string[]> {
  const { rows } = await client.query<{ text: string }>(MISSING);
  return rows.map(({ text }) => text);
}
