import { type Caller, userTag } from '../http/caller.js';
import type { Property } from './table.js';

const ID = '00000000-0000-7000-8000-000000000000';
/** A caller of each role, to try at start how a policy narrows lists. */
export const CALLERS: Caller[] = [
  { id: ID, role: 'user', sessionId: ID },
  { id: ID, role: 'admin', sessionId: ID },
];

/** Who may do what with a resource's rows. It uses the caller and columns, never a body. */
export interface Policy<T> {
  /** The columns that it uses. */
  by: Property<T>[];
  /** Callers who may not read a row get a 404. */
  mayRead(row: T, caller: Caller | undefined): boolean;
  mayChange(row: T, caller: Caller): boolean;
  /** Narrows a caller's lists to rows with these values in these columns, or with those of one of several. */
  listed(caller: Caller | undefined): Partial<T> | Partial<T>[];
  /** The tags of a row in the cache: invalidating one drops the row. */
  tags?(row: T): string[];
}

/**
 * The owner and admins may read and change a row. Its cache entry is tagged with the owner.
 * @param property the column that holds the owner's id
 * @param readers who else may read: signed-in users, or anyone, for routes with @Anyone()
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
