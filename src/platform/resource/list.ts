import { escapeLiteral } from 'pg';
import type { ObjectLiteral } from 'typeorm';
import type { Statement } from '../database/database.js';
import { StartError } from '../start-error.js';
import { type Filter, isEqual } from './filters.js';
import { statementName } from './names.js';
import { PAGE_BYTES } from './page.js';
import { type Property, type Table, textOf } from './table.js';

/** A page of up to 20 rows of this size is read without checking PAGE_BYTES. */
export const USUAL_ROW_BYTES = 65_536;
export const WHOLE_BYTES = 20 * USUAL_ROW_BYTES;
/** Only lists with these common limits get a prepared statement. */
const USUAL_LIMITS = new Set([20, 100]);

/** Types whose values may be long. */
const LONG = /^(?:text|jsonb?)/;

/** The conditions of a list, an export or statistics. */
export interface Narrowed<T> {
  /** Columns with the values that they must have; of several, as in TypeORM, one is enough. */
  where: Partial<T> | Partial<T>[];
  /** The filters' values, by name. */
  filters: Record<string, string | undefined>;
}

export interface Sorted<T> extends Narrowed<T> {
  sort: Property<T>;
  order: 'asc' | 'desc';
}

export interface Listed<T> extends Sorted<T> {
  limit: number;
  /** The sort value and the id of the previous page's last row. */
  after?: string[] | undefined;
}

/** A page as one JSON text without its brackets, and the position of its last row if there is a next page. */
export interface PageRow {
  items: string | null;
  at: string | null;
  id: string | null;
}

const alternatives = <T>(where: Narrowed<T>['where']): Partial<T>[] => (Array.isArray(where) ? where : [where]);

/** Keyset pagination of a table: a row comparison is one range of an index, read in either direction. */
export class Lists<T extends ObjectLiteral> {
  private readonly statements = new Map<string, Statement>();

  /**
   * @param rowBytes bytes that the JSON of the largest row may take
   * @throws StartError for a filter that could reveal hidden values
   */
  constructor(
    private readonly table: Table,
    private readonly filters: Record<string, Filter>,
    private readonly rowBytes: number,
  ) {
    const { shape } = table.shown;
    for (const [name, { property }] of Object.entries(filters)) {
      table.column(property);
      // A filter named like a shown member may use another form of it, in a hidden column.
      if (!(property in shape) && !(name in shape))
        throw new StartError(`The filter ${name} uses ${table.entity.name}.${property}, which clients do not see`);
    }
  }

  /** The conditions as SQL. `place` puts a value into the text, as a parameter or a literal. */
  conditions({ where, filters }: Narrowed<T>, place: (value: string) => string): string {
    const isEither = alternatives(where).map((one) => {
      const equal = Object.entries(one).map(([name, value]) =>
        isEqual(this.table.column(name), place(value as string)),
      );
      return equal.join(' AND ') || 'true';
    });
    const narrowed = Object.entries(filters).flatMap(([name, value]) => {
      const filter = this.filters[name] as Filter;
      return value === undefined ? [] : filter.condition(this.table.column(filter.property), place(value));
    });
    return [`(${isEither.join(' OR ')})`, ...narrowed].join(' AND ');
  }

  /**
   * Lists of the same shape share one statement, which PostgreSQL prepares once.
   * @param isCut whether to end the page at PAGE_BYTES, which takes half as long again
   */
  statement(
    listed: Listed<T>,
    isCut = listed.limit * this.rowBytes > WHOLE_BYTES,
  ): { statement: Statement; values: unknown[] } {
    const { sort, order, limit, after } = listed;
    const filters = this.needed(listed);
    const values: string[] = [];
    const given = Object.keys(filters).filter((name) => filters[name] !== undefined);
    const where = alternatives(listed.where).map((one) => Object.keys(one).join('='));
    const narrowed = [where.join('|'), ...given.map((name) => `?${name}`)];
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

  /**
   * A COPY of all matching rows. Control characters, which JSON never contains unescaped, serve as quote and delimiter:
   * nothing is escaped, and COPY's lines are NDJSON. COPY accepts no parameters, only literals.
   */
  copyStatement({ sort, order, ...narrowed }: Sorted<T>): string {
    const { sql } = this.table.column(sort);
    const literal = (value: unknown) => (value === undefined ? 'NULL' : escapeLiteral(String(value)));
    const given = Object.entries(narrowed.filters).filter(([, value]) => value !== undefined);
    const isAnew = given.some(([name]) => this.filters[name]?.isPlannedAnew);
    // Just after an upload PostgreSQL has no statistics yet, and would sort all rows before it sends the first.
    const walk = isAnew ? '' : 'SET LOCAL enable_sort = off; ';
    // The connection asks for no time-out, but a pooler may leave the role's in place.
    return `SET LOCAL statement_timeout = 0; ${walk}COPY (
      SELECT ${this.table.json} FROM ${this.table.sql} WHERE ${this.conditions(narrowed, literal)}
      ORDER BY ${sql} ${order}, id ${order}) TO STDOUT WITH (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')`;
  }

  /** @param after the parameters of the position after which the page begins */
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

  /** Drops the bound at which the list began: after a cursor it holds anyway, and PostgreSQL would scan from there. */
  private needed({ sort, order, after, filters }: Listed<T>): Record<string, string | undefined> {
    if (after === undefined) return filters;
    const passed = order === 'desc' ? 'to' : 'from';
    const isNeeded = ([name]: [string, unknown]) => {
      const { property, bounds } = this.filters[name] as Filter;
      return property !== sort || bounds !== passed;
    };
    return Object.fromEntries(Object.entries(filters).filter(isNeeded));
  }

  /** Leaves out the extra row, which only tells of a next page. Window functions would take a tenth longer. */
  private wholePage(sort: Property<T>, limit: number): string {
    const { sql } = this.table.column(sort);
    return `
      written AS (SELECT string_agg(${this.table.json}, ',') AS items FROM (SELECT * FROM page LIMIT ${limit}) AS shown),
      last AS (SELECT ${sql}, id FROM page WHERE EXISTS (SELECT FROM page OFFSET ${limit}) OFFSET ${limit - 1} LIMIT 1)
      SELECT written.items, ${this.positionOf(sort, `last.${sql}`)} AS at, last.id::text AS id FROM written LEFT JOIN last ON true`;
  }

  /**
   * The same, but ends the page at PAGE_BYTES. The stored size of a value, which is compressed, is known without
   * reading it, so rows that cannot fit are not made into JSON.
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
