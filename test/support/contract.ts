import type { Client } from './client.js';

/** Who asks: nobody has no token; the owner is whose thing it is, and admins may see to everything. */
export const CALLERS = ['nobody', 'another user', 'the owner', 'an admin'] as const;
export type Caller = (typeof CALLERS)[number];

/** The status that each of them is answered with. */
export type Answers = readonly [nobody: number, another: number, owner: number, admin: number];

/** Those of the walks, signed in. */
export interface Clients extends Record<Caller, Client> {
  /** One more user at each call. */
  newUser(): Promise<Client>;
}

/** What an operation is tried on. */
export interface Thing {
  /** What stands in the path, by parameter: `{ id }`. */
  values: Record<string, string>;
  /** Whose it is, if not that of 'the owner'. */
  owner?: Client;
  /** It is for the operation to make, and needs no If-Match. */
  isNew?: boolean;
}

/** What only people know of a module's routes. The rest is in openapi.json. */
export interface Contract<Name extends string = string> {
  /** What the operations are about, and how one is made anew. What is private is found out: what the owner may read and others may not. */
  subjects: Record<Name, (clients: Clients) => Promise<Thing>>;
  /** What each operation of openapi.json answers to whom, by what it is asked about: a thing, or nothing when its path has no parameter. */
  operations: Record<string, Partial<Record<NoInfer<Name> | 'nothing', Answers>>>;
  /** Bodies that are taken, by operation, where the example in the document is not: what has to be somebody's, or new each time. */
  bodies?: Record<string, (clients: Clients) => unknown>;
  /** What stands in the last parameter of an operation's path where there is nothing, if not any text will do. */
  absent?: Record<string, string>;
  /** Refusals, by operation, that need the body or what is under a lock; every other one comes before a byte of the body is taken. */
  behindTheBody?: Record<string, readonly number[]>;
  /** For each regular expression of a file of the module, in their order, a text that a caller may send and that it takes. */
  texts?: Record<string, readonly string[]>;
  /** Statuses, by operation, that take more than one request, and that specs of the module's own show. */
  shownElsewhere?: Record<string, readonly number[]>;
}

/**
 * Says what only people know of a module's routes, as the default export of `src/orders/orders.contract.ts`. The walks over all
 * routes (test/contract, test/security, test/e2e/edge-routes.spec.ts) find that file by its name. A module without one fails
 * `test/contract/statuses.spec.ts`, whose message has a first one to paste.
 */
export const contract = <Name extends string>(given: Contract<Name>): Contract<Name> => given;
