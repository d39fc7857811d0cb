import { type Caller, userTag } from '../http/caller.js';
import type { Property } from './table.js';

/** Who may do what with the rows of a resource. It looks at the caller and at columns, never at a body. */
export interface Policy<T> {
  /** The columns that it looks at. */
  by: Property<T>[];
  /** For whoever may not, there is no such row. */
  mayRead(row: T, caller: Caller | undefined): boolean;
  mayChange(row: T, caller: Caller): boolean;
  /** What a caller's lists are narrowed to: rows of which these columns have these values. */
  listed(caller: Caller | undefined): Partial<T>;
  /** What else a kept row ends with, by its name. */
  tags?(row: T): string[];
}

/**
 * For the owner and admins. What is kept of a row ends with its owner.
 * @param property the column that holds the owner's id
 * @param readers who may read, too: whoever is signed in, or anyone, where the routes are for @Anyone()
 */
export function ownedBy<T>(property: Property<T>, readers: 'owner' | 'signed-in' | 'anyone' = 'owner'): Policy<T> {
  const mayChange = (row: T, caller: Caller | undefined) =>
    caller !== undefined && (row[property] === caller.id || caller.role === 'admin');
  const isReader = (_: T, caller: Caller | undefined) =>
    readers === 'anyone' || (readers === 'signed-in' && caller !== undefined);
  return {
    by: [property],
    mayRead: readers === 'owner' ? mayChange : isReader,
    mayChange,
    listed: (caller) =>
      isReader(undefined as T, caller) || caller?.role === 'admin' ? {} : ({ [property]: caller?.id } as Partial<T>),
    tags: (row) => [userTag(row[property] as string)],
  };
}
