import { escapeIdentifier } from 'pg';
import type { EntityMetadata } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import { z } from 'zod';
import { StartError } from '../start-error.js';
import { identifier } from './names.js';

/** The name of an entity's member. */
export type Property<T> = keyof T & string;

/** Values of a row. Times may be texts, as in JSON. */
export type Given<T> = { [P in keyof T]?: T[P] | (Extract<T[P], Date> extends never ? never : string) };

/** A column in statements. */
export interface Column {
  /** The member of the entity. */
  property: string;
  /** Its name in PostgreSQL's catalogue. */
  name: string;
  /** Its name, quoted if necessary. */
  sql: string;
  /** The type that values are cast to: `timestamp(3) with time zone`; for texts of any length, `text`. */
  type: string;
  isNullable: boolean;
  /** The default as SQL. */
  otherwise: string;
}

const WITH_ZONE = /^timestamp(?:\(\d\))? with time zone$/i;
const IN_MS = /^timestamp\([0-3]\)/i;
/** A cast to these types silently truncates a text. */
const CUT = /^character(?: varying)?(?:\(\d+\))?$/;

/** Whether values of this type are moments in time. */
export const isMoment = (type: string): boolean => WITH_ZONE.test(type);

/** JSON_SCALAR looks up its type once per plan, to_json() for each value. A text takes a quarter less time. */
const scalar = (sql: string) => `JSON_SCALAR(${sql})::text`;

/**
 * A time as JSON text. PostgreSQL leaves out zeros at the end, so that a microsecond is added to get six digits, of
 * which three stay. It takes two thirds of the time of to_char().
 */
const time = (sql: string) => `left(${scalar(`${sql} AT TIME ZONE INTERVAL '0' + INTERVAL '1 us'`)}, 24) || 'Z"'`;

/** A time as plain text. */
export const momentOf = (sql: string) => `trim('"' FROM ${time(sql)})`;

/** A value as text that casts back to the same value; a time in UTC, to the millisecond. */
export const textOf = ({ type }: Column, sql: string) => (WITH_ZONE.test(type) ? momentOf(sql) : `(${sql})::text`);

/** An entity's table, and the SQL that shows its rows to clients. */
export class Table {
  /** Its name, quoted if necessary. */
  readonly sql: string;
  /** A row's JSON as SQL: composed in PostgreSQL, it costs half of what objects and JSON.stringify() cost. */
  readonly json: string;
  /** A row's entity tag as SQL, the same as entityTag() makes. */
  readonly etag: string;
  readonly version: Column;
  readonly createdAt: Column;
  readonly updatedAt: Column | undefined;
  /** The columns that a new row is given values for, in the order of the class's members. */
  readonly given: Column[];
  /** By member, cached since TypeORM's driver builds a type's text at every call. */
  private readonly columns: Map<string, Column>;

  /**
   * @param shown the schema of what clients see. Its members are columns; other columns stay hidden
   * @throws StartError when the schema does not fit the entity
   */
  constructor(
    readonly entity: EntityMetadata,
    readonly shown: z.ZodObject,
  ) {
    this.sql = identifier(entity.tableName);
    const { primaryColumns, versionColumn, createDateColumn, updateDateColumn } = entity;
    if (primaryColumns.length !== 1 || primaryColumns[0]?.propertyName !== 'id' || primaryColumns[0].type !== 'uuid')
      throw new StartError(`${entity.name} needs a primary column named id of type uuid`);
    if (!versionColumn || !createDateColumn)
      throw new StartError(
        `${entity.name} needs a @VersionColumn and a @CreateDateColumn: entity tags are made of them`,
      );
    this.columns = new Map(entity.columns.map((column) => [column.propertyName, this.columnOf(column)]));
    this.version = this.column(versionColumn.propertyName);
    this.createdAt = this.column(createDateColumn.propertyName);
    this.updatedAt = updateDateColumn && this.column(updateDateColumn.propertyName);
    for (const { property } of [this.version, this.createdAt])
      if (!(property in shown.shape))
        throw new StartError(`${entity.name}.${property} must be shown: entity tags are made of it`);
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

  /** The columns of a StoredRow, with others beside: `id, "ownerId", json, etag`. */
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
    // Joins the texts between two values into one.
    return `${pieces.join(' || ')} || '}'`.replaceAll(`' || '`, '');
  }

  private memberText({ property, sql, type }: Column, asNumber: boolean): string {
    const base = type.replace(/\(.*?\)/, '');
    if (base.endsWith('[]') || base === 'enum' || base === 'timestamp')
      throw new StartError(`${this.entity.name}.${property} has a type that cannot be shown as JSON (${type})`);
    if (isMoment(type) && !IN_MS.test(type))
      throw new StartError(
        `${this.entity.name}.${property} has microseconds, which JavaScript dates lack: give it a precision of 3`,
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

/** TypeORM reads bigint and numeric as text. Clients get text too, unless the schema says that it is a number. */
function isNumber(schema: z.ZodType): boolean {
  const shown = z.toJSONSchema(schema, { unrepresentable: 'any' });
  // A nullable schema has several types.
  const types: unknown[] = [shown, ...(shown.anyOf ?? [])].flatMap(({ type }) => type);
  return types.includes('number') || types.includes('integer');
}
