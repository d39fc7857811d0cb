import type { ObjectLiteral } from 'typeorm';
import type { Statement } from '../database/database.js';
import { StartError } from '../start-error.js';
import { type Filter, isEqual } from './filters.js';
import { statementName } from './names.js';
import { PAGE_BYTES } from './page.js';
import { type Property, type Table, textOf } from './table.js';

/** A page that can have no more is not measured: of the usual 20 rows of this size. */
export const USUAL_ROW_BYTES = 65_536;
export const WHOLE_BYTES = 20 * USUAL_ROW_BYTES;
/** Limits that many callers use; others are not worth a prepared statement each. */
const USUAL_LIMITS = new Set([20, 100]);

/** Types whose values may be long. */
const LONG = /^(?:text|jsonb?)/;

/** What a list, an export and figures are narrowed to. */
export interface Narrowed<T> {
  /** Columns that have these values. */
  where: Partial<T>;
  /** Values of filters, by their names. */
  filters: Record<string, string | undefined>;
}

export interface Listed<T> extends Narrowed<T> {
  sort: Property<T>;
  order: 'asc' | 'desc';
  limit: number;
  /** The sorted value and the id of the last row of the page before. */
  after?: string[] | undefined;
}

/** A page as one JSON text without its brackets, and where the next one begins, if there is one. */
export interface PageRow {
  items: string | null;
  at: string | null;
  id: string | null;
}

/** Keyset lists of a table: a row comparison is one range of an index, read in either direction. */
export class Lists<T extends ObjectLiteral> {
  private readonly statements = new Map<string, Statement>();

  /**
   * @param rowBytes what the JSON of the largest row may take
   * @throws StartError for a filter by which hidden values could be found out
   */
  constructor(
    private readonly table: Table,
    private readonly filters: Record<string, Filter>,
    private readonly rowBytes: number,
  ) {
    const { shape } = table.shown;
    for (const [name, { property }] of Object.entries(filters)) {
      table.column(property);
      // Under the name of what is shown, its other form may be looked at.
      if (!(property in shape) && !(name in shape))
        throw new StartError(`The filter ${name} looks at ${table.entity.name}.${property}, which clients do not see`);
    }
  }

  /** The conditions as SQL; `place` puts a value into the text, as a parameter or a literal. */
  conditions({ where, filters }: Narrowed<T>, place: (value: string) => string): string {
    const equal = Object.entries(where).map(([property, value]) => {
      return isEqual(this.table.column(property), place(value as string));
    });
    const narrowed = Object.entries(filters).flatMap(([name, value]) => {
      const filter = this.filters[name] as Filter;
      return value === undefined ? [] : filter.condition(this.table.column(filter.property), place(value));
    });
    return [...equal, ...narrowed].join(' AND ') || 'true';
  }

  /**
   * Of the same shape it is the same statement, which PostgreSQL prepares once.
   * @param isCut where PAGE_BYTES are full, which takes half as long again
   */
  statement(
    listed: Listed<T>,
    isCut = listed.limit * this.rowBytes > WHOLE_BYTES,
  ): { statement: Statement; values: unknown[] } {
    const { sort, order, limit, after } = listed;
    const filters = this.needed(listed);
    const values: string[] = [];
    const given = Object.keys(filters).filter((name) => filters[name] !== undefined);
    const where = Object.keys(listed.where).map((property) => `=${property}`);
    const narrowed = [...where, ...given.map((name) => `?${name}`)];
    const shape = [sort, order, ...narrowed, after && 'after', isCut && 'cut', limit];
    const key = `${this.table.name}_list_${shape.filter(Boolean).join('_')}`;
    const isAnew = !USUAL_LIMITS.has(limit) || given.some((name) => this.filters[name]?.isPlannedAnew);
    const place = (value: string) => `$${values.push(value)}`;
    const conditions = this.conditions({ ...listed, filters }, place);
    const placed = after?.map(place);
    let statement = this.statements.get(key);
    if (!statement) {
      const text = this.text(listed, conditions, placed, isCut);
      statement = isAnew ? { text } : { name: statementName(key), text, isShort: 'one' };
      if (!isAnew) this.statements.set(key, statement);
    }
    return { statement, values };
  }

  /** @param after where the position is that the page lies behind, as parameters */
  private text(
    { sort, order, limit }: Listed<T>,
    conditions: string,
    after: string[] | undefined,
    isCut: boolean,
  ): string {
    const { sql, type } = this.table.column(sort);
    const behind = after
      ? ` AND (${sql}, id) ${order === 'desc' ? '<' : '>'} (${after[0]}::${type}, ${after[1]}::uuid)`
      : '';
    return `
      WITH page AS (SELECT * FROM ${this.table.sql} WHERE ${conditions}${behind}
        ORDER BY ${sql} ${order}, id ${order} LIMIT ${limit + 1}),
      ${isCut ? this.cutPage(sort, limit) : this.wholePage(sort, limit)}`;
  }

  /** Behind a cursor the bound where the list began holds anyway, and PostgreSQL would read on from there again. */
  private needed({ sort, order, after, filters }: Listed<T>): Record<string, string | undefined> {
    if (after === undefined) return filters;
    const passed = order === 'desc' ? 'to' : 'from';
    const isNeeded = ([name]: [string, unknown]) => {
      const { property, bounds } = this.filters[name] as Filter;
      return property !== sort || bounds !== passed;
    };
    return Object.fromEntries(Object.entries(filters).filter(isNeeded));
  }

  /** All rows of the page but the one too many, which says that there is a next page. Window functions would take a tenth longer. */
  private wholePage(sort: Property<T>, limit: number): string {
    const { sql } = this.table.column(sort);
    return `
      written AS (SELECT string_agg(${this.table.json}, ',') AS items FROM (SELECT * FROM page LIMIT ${limit}) AS shown),
      last AS (SELECT ${sql}, id FROM page WHERE EXISTS (SELECT FROM page OFFSET ${limit}) OFFSET ${limit - 1} LIMIT 1)
      SELECT written.items, ${this.positionOf(sort, `last.${sql}`)} AS at, last.id::text AS id FROM written LEFT JOIN last ON true`;
  }

  /**
   * The same, cut where PAGE_BYTES are full. What is stored is compressed, and its length known without reading it: rows for
   * which there can be no room are not made into JSON.
   */
  private cutPage(sort: Property<T>, limit: number): string {
    const { sql } = this.table.column(sort);
    const long = Object.keys(this.table.shown.shape)
      .map((property) => this.table.column(property))
      .filter(({ type }) => LONG.test(type));
    const sizes = long.map((column) => `coalesce(pg_column_size(${column.sql}), 0)`).join(' + ') || '0';
    const isShown = `_place <= ${limit} AND (_place = 1 OR _bytes <= ${PAGE_BYTES})`;
    const isLast = `${isShown} AND _followed AND (_place = ${limit} OR _next IS NULL OR _bytes + _next > ${PAGE_BYTES})`;
    return `
      stored AS (
        SELECT *, row_number() OVER so_far AS _place, lead(id) OVER so_far IS NOT NULL AS _followed,
          sum(${sizes}) OVER so_far - (${sizes}) AS _before
        FROM page WINDOW so_far AS (ROWS UNBOUNDED PRECEDING)),
      written AS (
        SELECT id, ${sql}, _place, _followed, ${this.table.json} AS _json
        FROM stored WHERE _before <= ${PAGE_BYTES} OFFSET 0),
      placed AS (
        SELECT *, sum(octet_length(_json)) OVER so_far AS _bytes, lead(octet_length(_json)) OVER so_far AS _next
        FROM written WINDOW so_far AS (ROWS UNBOUNDED PRECEDING))
      SELECT string_agg(_json, ',') FILTER (WHERE ${isShown}) AS items,
        ${this.positionOf(sort, `any_value(${sql}) FILTER (WHERE ${isLast})`)} AS at, max(id::text) FILTER (WHERE ${isLast}) AS id
      FROM placed`;
  }

  private positionOf(sort: Property<T>, value: string): string {
    return textOf(this.table.column(sort), value);
  }
}
