import { finished } from 'node:stream/promises';
import type { PoolClient } from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { type Conflicts, sqlState, toProblem } from '../database/database-problem.js';
import { Problem } from '../http/problem.js';
import { OF_ONE_ROW } from './creations.js';
import type { Parent } from './statements.js';
import type { Column, Given, Table } from './table.js';

/** The rows of a batch that PostgreSQL refused: their places in it, from 0, and why. */
export type Refusals = Map<number, string>;

/** Stores batches of rows by COPY. Unlike a single row, they get the defaults of the table itself. */
export class CopyIn<T> {
  private readonly copy: string;
  private readonly insertEach: string;

  constructor(
    readonly table: Table,
    readonly options: { parent?: Parent; conflicts?: Conflicts },
    /** A value as text; null for the column's default. */
    private readonly textOf: (column: Column, values: Given<T>) => string | null,
  ) {
    const into = `${table.sql} (${table.given.map(({ sql }) => sql).join(', ')})`;
    this.copy = `COPY ${into} FROM STDIN WITH (DEFAULT '\\D')`;
    const values = table.given.map(({ type, otherwise }, at) => `coalesce((given ->> ${at})::${type}, ${otherwise})`);
    this.insertEach = eachByItself(`INSERT INTO ${into} VALUES (${values.join(', ')})`);
  }

  /** A row as a line in COPY's text format. @throws Problem invalid-request with the mistake in a value */
  line(values: Given<T>): string {
    const fields = this.table.given.map((column) => {
      const text = this.textOf(column, values);
      if (text === null) return column.otherwise === 'NULL' ? '\\N' : '\\D';
      // COPY has JSON's escapes for these.
      return text.replace(/[\\\n\r\t]/g, (character) => JSON.stringify(character).slice(1, -1));
    });
    return `${fields.join('\t')}\n`;
  }

  /**
   * Stores lines in the transaction of the client.
   * @param values what every row has, such as its parent
   * @returns the lines that PostgreSQL refused; the others are stored
   * @throws the parent's problem if it is not there
   */
  async store(client: PoolClient, lines: string, values: Given<T>): Promise<Refusals> {
    const { parent } = this.options;
    if (parent) {
      const text = `SELECT FROM ${parent.table} WHERE id = $1`;
      const id = values[parent.property as keyof T];
      const found = await client.query({ name: `${parent.table}_exists`, text, values: [id] });
      if (found.rowCount === 0) throw parent.gone();
    }
    await client.query('SAVEPOINT batch');
    try {
      const stream = client.query(copyFrom(this.copy));
      stream.end(lines);
      await finished(stream);
    } catch (error) {
      if (!OF_ONE_ROW.test(sqlState(error) ?? '')) throw error;
      await client.query('ROLLBACK TO SAVEPOINT batch');
      return this.storeEach(client, lines, error);
    }
    await client.query('RELEASE SAVEPOINT batch');
    return new Map();
  }

  /** @throws the error of the COPY if a row was refused for no mistake of the caller */
  private async storeEach(client: PoolClient, lines: string, error: unknown): Promise<Refusals> {
    const rows = lines.split('\n').slice(0, -1).map(valuesOf);
    await client.query(`SELECT set_config('floodgate.rows', $1, true)`, [JSON.stringify(rows)]);
    await client.query(this.insertEach);
    const { rows: read } = await client.query(`SELECT current_setting('floodgate.refused')::jsonb AS refused`);
    const refusals: Refusals = new Map();
    for (const failure of read[0].refused) {
      const problem = toProblem(failure, this.options.conflicts);
      if (!(problem instanceof Problem)) throw error;
      refusals.set(failure.place, problem.detail);
    }
    return refusals;
  }
}

/** The values of a line, as texts; null for a default. */
const valuesOf = (line: string) =>
  line
    .split('\t')
    .map((field) => (/^\\[ND]$/.test(field) ? null : field.replace(/\\./g, (one) => JSON.parse(`"${one}"`))));

/**
 * Runs a statement for each of many rows within PostgreSQL, since thousands of round trips would hold the connection
 * for seconds. DO has neither parameters nor a result: settings of the transaction hold the rows and the refusals.
 */
const eachByItself = (statement: string) => `DO $each$
  DECLARE given jsonb; place int; state text; broken text; refused jsonb[] := '{}';
  BEGIN
    FOR given, place IN
      SELECT value, ordinality - 1 FROM jsonb_array_elements(current_setting('floodgate.rows')::jsonb) WITH ORDINALITY
    LOOP BEGIN
      ${statement};
    EXCEPTION WHEN data_exception OR integrity_constraint_violation THEN
      GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, broken = CONSTRAINT_NAME;
      refused := refused || jsonb_build_object('place', place, 'code', state, 'constraint', broken, 'severity', 'ERROR');
    END; END LOOP;
    PERFORM set_config('floodgate.refused', to_jsonb(refused)::text, true);
  END $each$`;
