import type { Statement } from '../database/database.js';
import type { Problem } from '../http/problem.js';
import { KEPT } from './idempotency.js';
import { statementName } from './names.js';
import type { Column, Table } from './table.js';

/** The parent that rows belong to and are removed with. There is no foreign key, whose checks would slow bulk loads. */
export interface Parent {
  /** The member that holds the parent's id. */
  property: string;
  table: string;
  /** The problem for a parent that is not there. */
  gone(): Problem;
}

/** The statements that read and change one table's rows. */
export interface Statements {
  /** $1: ids. */
  getMany: Statement;
  /** The same for rows of one parent, $2: of a table that is split by parents, only its part is read. */
  getManyWithin?: Statement;
  /** Locks a row until the transaction ends. $1: its id; $2: its parent's id, if it has one. */
  lock: string;
  /** $1 and $2 as above; behind them, the values of the columns. */
  update(columns: Column[]): string;
  remove: string;
  /** Arrays of values in the order of `table.given`, then of callers, keys and fingerprints. */
  createMany: Statement;
}

/** Finds the answer stored for an Idempotency-Key. */
export const FIND_KEY: Statement = {
  name: 'idempotency_key_find',
  text: `SELECT fingerprint, body FROM idempotency_keys WHERE caller_id = $1 AND key = $2`,
};

/** @param beside columns that are returned with each row */
export function statementsOf(table: Table, beside: Column[], parent: Parent | undefined): Statements {
  const { sql, name } = table;
  const stored = table.stored(beside);
  const touched = [
    `${table.version.sql} = ${table.version.sql} + 1`,
    ...(table.updatedAt ? [`${table.updatedAt.sql} = now()`] : []),
  ];
  const belongs = parent && table.column(parent.property).sql;
  const row = `id = $1${belongs ? ` AND ${belongs} = $2` : ''}`;
  // Rows of a removed parent may still exist, until they are removed in the background.
  const isThere = parent ? ` AND EXISTS (SELECT FROM ${parent.table} p WHERE p.id = ${belongs})` : '';
  const getMany = `SELECT ${stored} FROM ${sql} WHERE id = ANY ($1)`;
  return {
    getMany: { name: statementName(`${name}_get_many`), isShort: 'many', text: getMany },
    ...(belongs && {
      getManyWithin: {
        name: statementName(`${name}_get_many_within`),
        isShort: 'many' as const,
        text: `${getMany} AND ${belongs} = $2`,
      },
    }),
    lock: `SELECT ${stored} FROM ${sql} WHERE ${row}${isThere} FOR UPDATE`,
    update: (columns) => {
      const set = columns.map(({ sql: name, type, isNullable, otherwise }, at) => {
        const value = `$${at + (belongs ? 3 : 2)}::${type}`;
        return `${name} = ${isNullable ? value : `coalesce(${value}, ${otherwise})`}`;
      });
      // Citus takes only immutable functions in RETURNING, and the text of a time depends on settings.
      const update = `UPDATE ${sql} SET ${[...set, ...touched].join(', ')} WHERE ${row} RETURNING *`;
      return `WITH changed AS (${update}) SELECT ${stored} FROM changed`;
    },
    remove: `DELETE FROM ${sql} WHERE ${row}`,
    createMany: { name: statementName(`${name}_create_many`), text: createMany(table, stored, parent) },
  };
}

/**
 * Creates rows and stores their Idempotency-Keys with the answers, in one statement. It returns nothing for a row whose
 * key was taken before or whose parent does not exist. Keys are inserted in the same order everywhere, so that
 * processes cannot deadlock. Names that begin with an underscore are not columns of the table.
 */
function createMany(table: Table, stored: string, parent: Parent | undefined): string {
  const { given, version, createdAt, updatedAt } = table;
  const arrays = given.map(({ type }, at) => `$${at + 1}::${type === 'uuid' ? 'uuid' : 'text'}[]`);
  const [caller, key, fingerprint] = [1, 2, 3].map((at) => `$${given.length + at}`);
  const asked = given.map((_, at) => `_v${at}`);
  const values = given.map(({ sql, type, otherwise }, at) => {
    const value = otherwise === 'NULL' ? `_v${at}::${type}` : `coalesce(_v${at}::${type}, ${otherwise})::${type}`;
    return `${value} AS ${sql}`;
  });
  const made = [
    'uuidv7() AS id',
    `1 AS ${version.sql}`,
    ...[createdAt, updatedAt].flatMap((column) => (column ? [`now()::${column.type} AS ${column.sql}`] : [])),
  ];
  const columns = ['id', ...[...given, version, createdAt, updatedAt].flatMap((column) => column?.sql ?? [])].join(
    ', ',
  );
  const [of, join] = parent
    ? [
        table.column(parent.property).sql,
        ` JOIN ${parent.table} p ON p.id = _v${given.findIndex(({ property }) => property === parent.property)}`,
      ]
    : ['NULL::uuid', ''];
  return `
    WITH input AS (
      SELECT _n, _caller, _key, _fingerprint, ${[...values, ...made].join(', ')}
      FROM unnest(${arrays.join(', ')}, ${caller}::uuid[], ${key}::text[], ${fingerprint}::bytea[])
        WITH ORDINALITY AS asked (${asked.join(', ')}, _caller, _key, _fingerprint, _n)${join}),
    answer AS (SELECT *, ${table.json} AS _json FROM input),
    taken AS (
      INSERT INTO idempotency_keys AS k (caller_id, key, fingerprint, body, collection_id)
      SELECT _caller, _key, _fingerprint, _json, ${of} FROM answer WHERE _key IS NOT NULL ORDER BY _caller, _key
      ON CONFLICT (caller_id, key) DO UPDATE SET fingerprint = excluded.fingerprint, body = excluded.body,
        collection_id = excluded.collection_id, items = 0, digest = NULL, report = NULL, holder = NULL, created_at = now()
      WHERE k.created_at < now() - ${KEPT} RETURNING caller_id, key),
    good AS (SELECT * FROM answer WHERE _key IS NULL OR (_caller, _key) IN (SELECT * FROM taken)),
    made AS (INSERT INTO ${table.sql} (${columns}) SELECT ${columns} FROM good)
    SELECT _n::int AS n, ${stored.replace(table.json, () => '_json')} FROM good`;
}
