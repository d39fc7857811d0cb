import { z } from 'zod';
import type { Column } from './table.js';

/** What a parameter is read as: text, of which PostgreSQL makes a value of the column's type. */
type Parameter = z.ZodType<string>;
const TEXT: Parameter = z.string().max(256);

/** A parameter of a list that narrows it: which column it looks at, and how. */
export interface Filter {
  property: string;
  schema: Parameter;
  /** The condition as SQL. */
  condition(column: Column, value: string): string;
  /** A bound from this side: behind a cursor it holds anyway. */
  bounds?: 'from' | 'to';
  /** Its plan depends on the value: it is made anew each time. */
  isPlannedAnew?: true;
}

export const isEqual: Filter['condition'] = ({ sql, type }, value) => `${sql} = ${value}::${type}`;

/** The very value. */
export const equal = (property: string, schema = TEXT): Filter => ({
  property,
  schema,
  condition: isEqual,
});

/** Not before, or not less. */
export const atLeast = (property: string, schema = TEXT): Filter => ({
  property,
  schema,
  condition: ({ sql, type }, value) => `${sql} >= ${value}::${type}`,
  bounds: 'from',
});

/** Before, or less. */
export const below = (property: string, schema = TEXT): Filter => ({
  property,
  schema,
  condition: ({ sql, type }, value) => `${sql} < ${value}::${type}`,
  bounds: 'to',
});

/** A text that begins so, letter by letter. */
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
