import { escapeIdentifier } from 'pg';
import type { EntityMetadata } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import { z } from 'zod';
import { StartError } from '../start-error.js';
import { identifier } from './names.js';

/** The name of a member that is a column of the entity. */
export type Property<T> = keyof T & string;

/** A column as statements have it. */
export interface Column {
  /** The member of the entity. */
  property: string;
  /** Its name, as PostgreSQL's catalogue has it. */
  name: string;
  /** Its name, quoted where it has to be. */
  sql: string;
  /** What values are read as: `timestamp(3) with time zone`; of text of whatever length, `text`. */
  type: string;
  isNullable: boolean;
  /** What is stored where nothing is given, as SQL. */
  otherwise: string;
}

const WITH_ZONE = /^timestamp(?:\(\d\))? with time zone$/i;
const IN_MS = /^timestamp\([0-3]\)/i;
/** A cast to these cuts what is too long, and says nothing. */
const CUT = /^character(?: varying)?(?:\(\d+\))?$/;

/** Whether values of this type are moments in time. */
export const isMoment = (type: string): boolean => WITH_ZONE.test(type);

/** JSON_SCALAR looks its argument's type up when it is planned, to_json() for each value: a quarter less time for a text. */
const scalar = (sql: string) => `JSON_SCALAR(${sql})::text`;

/**
 * A time as JSON text: PostgreSQL's own, which has no zeros at its end, with a microsecond added so that there are always
 * six digits, of which three stay. It takes two thirds of what to_char() takes.
 */
const time = (sql: string) => `left(${scalar(`${sql} AT TIME ZONE INTERVAL '0' + INTERVAL '1 us'`)}, 24) || 'Z"'`;

/** The same as text. */
export const momentOf = (sql: string) => `trim('"' FROM ${time(sql)})`;

/** A value as text, of which the column's type makes the same value again: a time in UTC, to the millisecond. */
export const textOf = ({ type }: Column, sql: string) => (WITH_ZONE.test(type) ? momentOf(sql) : `(${sql})::text`);

/** What is known of an entity's table, and how PostgreSQL shows its rows to clients. */
export class Table {
  /** Quoted where it has to be. */
  readonly sql: string;
  /** Of one row: text put together in PostgreSQL costs half of what rows made into objects and then into JSON cost. */
  readonly json: string;
  /** Of one row, as entityTag() makes it. */
  readonly etag: string;
  readonly version: Column;
  readonly createdAt: Column;
  readonly updatedAt: Column | undefined;
  /** The columns that whoever makes a row gives, in the order of the class's members. */
  readonly given: Column[];
  /** By their members: TypeORM's driver makes a type's text anew each time, and each request asks. */
  private readonly columns: Map<string, Column>;

  /**
   * @param shown the schema of what clients see, whose members are columns: what it does not name stays hidden
   * @throws StartError that names class and member, when rows cannot be shown so
   */
  constructor(
    readonly entity: EntityMetadata,
    readonly shown: z.ZodObject,
  ) {
    this.sql = identifier(entity.tableName);
    const { primaryColumns, versionColumn, createDateColumn, updateDateColumn } = entity;
    if (primaryColumns.length !== 1 || primaryColumns[0]?.propertyName !== 'id' || primaryColumns[0].type !== 'uuid')
      throw new StartError(`${entity.name} needs a primary column that is named id and is a uuid`);
    if (!versionColumn || !createDateColumn)
      throw new StartError(`${entity.name} needs a @VersionColumn and a @CreateDateColumn: If-Match goes by them`);
    this.columns = new Map(entity.columns.map((column) => [column.propertyName, this.columnOf(column)]));
    this.version = this.column(versionColumn.propertyName);
    this.createdAt = this.column(createDateColumn.propertyName);
    this.updatedAt = updateDateColumn && this.column(updateDateColumn.propertyName);
    for (const { property } of [this.column('id'), this.version, this.createdAt])
      if (!(property in shown.shape))
        throw new StartError(`${entity.name}.${property} has to be shown: places and entity tags are made of it`);
    const made = new Set<Column | undefined>([this.column('id'), this.version, this.createdAt, this.updatedAt]);
    this.given = [...this.columns.values()].filter((column) => !made.has(column));
    this.etag = `'"' || ${this.version.sql} || '-' || to_hex((extract(epoch FROM ${this.createdAt.sql}) * 1000)::bigint) || '"'`;
    this.json = this.jsonText();
  }

  get name(): string {
    return this.entity.tableName;
  }

  /** @throws StartError when the entity has no such column */
  column(property: string): Column {
    const column = this.columns.get(property);
    if (!column) throw new StartError(`${this.entity.name} has no column ${property}`);
    return column;
  }

  /** A row of the table as StoredRow, with these columns beside: `id, "ownerId", json, etag`. */
  stored(beside: Column[]): string {
    const columns = beside.map(({ sql, property }) => `, ${sql} AS ${escapeIdentifier(property)}`);
    return `id${columns.join('')}, ${this.json} AS json, ${this.etag} AS etag`;
  }

  private columnOf(column: ColumnMetadata): Column {
    const { driver } = this.entity.connection;
    const type = driver.createFullType(Object.assign(Object.create(column), { type: driver.normalizeType(column) }));
    const { propertyName: property, databaseName, isNullable } = column;
    const otherwise = driver.normalizeDefault(column) ?? 'NULL';
    const [name, sql] = [databaseName, identifier(databaseName)];
    return { property, name, sql, type: type.toLowerCase().replace(CUT, 'text'), isNullable, otherwise };
  }

  private jsonText(): string {
    const members = Object.entries(this.shown.shape).map(([name, schema]) => {
      const column = this.column(name);
      const text = this.memberText(column, isNumber(schema as z.ZodType));
      return { name, text: column.isNullable ? `coalesce(${text}, 'null')` : text };
    });
    const pieces = members.map(({ name, text }, at) => `'${at === 0 ? '{' : ','}${escaped(name)}:' || ${text}`);
    // What stands between two values is one text.
    return `${pieces.join(' || ')} || '}'`.replaceAll(`' || '`, '');
  }

  private memberText({ property, sql, type }: Column, asNumber: boolean): string {
    const base = type.replace(/\(.*?\)/, '');
    if (base.endsWith('[]') || base === 'enum' || base === 'timestamp')
      throw new StartError(`${this.entity.name}.${property} is a column of a type that is not shown as JSON (${type})`);
    if (isMoment(type) && !IN_MS.test(type))
      throw new StartError(
        `${this.entity.name}.${property} has microseconds, which JavaScript has not: give it a precision of 3`,
      );
    if (isMoment(type)) return time(sql);
    if (base === 'uuid') return quoted(sql);
    if (base === 'bigint' || base === 'numeric') return asNumber ? scalar(sql) : quoted(sql);
    if (['smallint', 'integer', 'jsonb', 'json', 'boolean'].includes(base)) return `${sql}::text`;
    return scalar(sql);
  }
}

const quoted = (sql: string) => `'"' || ${sql} || '"'`;
const escaped = (name: string) => JSON.stringify(name).replaceAll("'", "''");

/** TypeORM has bigint and numeric as text; clients do, unless their schema says that it is a number. */
function isNumber(schema: z.ZodType): boolean {
  const shown = z.toJSONSchema(schema, { unrepresentable: 'any' });
  // One that may also be null has several types.
  const types: unknown[] = [shown, ...(shown.anyOf ?? [])].flatMap(({ type }) => type);
  return types.includes('number') || types.includes('integer');
}
