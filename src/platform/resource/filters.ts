import { z } from 'zod';
import type { Column } from './table.js';

/** A parameter is read as text, which PostgreSQL casts to the column's type. */
type Parameter = z.ZodType<string>;
const TEXT: Parameter = z.string().max(256);

/** A parameter that filters a list by a column. */
export interface Filter {
  property: string;
  schema: Parameter;
  /** The condition as SQL. */
  condition(column: Column, value: string): string;
  /** The side that it bounds: rows after a cursor are within the bound anyway. */
  bounds?: 'from' | 'to';
  /** The best plan depends on the value, so the statement is not prepared. */
  isPlannedAnew?: true;
}

export const isEqual: Filter['condition'] = ({ sql, type }, value) => `${sql} = ${value}::${type}`;

/** Equal to the value. */
export const equal = (property: string, schema = TEXT): Filter => ({
  property,
  schema,
  condition: isEqual,
});

/** The value or greater. */
export const atLeast = (property: string, schema = TEXT): Filter => ({
  property,
  schema,
  condition: ({ sql, type }, value) => `${sql} >= ${value}::${type}`,
  bounds: 'from',
});

/** Less than the value. */
export const below = (property: string, schema = TEXT): Filter => ({
  property,
  schema,
  condition: ({ sql, type }, value) => `${sql} < ${value}::${type}`,
  bounds: 'to',
});

/** A text that begins with the value, case-sensitive. */
export const beginsWith = (property: string, schema = TEXT): Filter => ({
  property,
  schema,
  condition: ({ sql }, value) => `starts_with(${sql}, ${value})`,
  isPlannedAnew: true,
});

/** JSON that a jsonb column contains. */
export const contains = (property: string, schema = TEXT): Filter => ({
  property,
  schema,
  condition: ({ sql }, value) => `${sql} @> ${value}::jsonb`,
  isPlannedAnew: true,
});
