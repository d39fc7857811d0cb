import type { Client } from './client.js';

/** The kinds of callers: nobody has no token, the owner owns the thing, and admins may manage everything. */
export const CALLERS = ['nobody', 'another user', 'the owner', 'an admin'] as const;
export type Caller = (typeof CALLERS)[number];

/** The status that each of them gets. */
export type Answers = readonly [nobody: number, another: number, owner: number, admin: number];

/** The signed-in clients of the general tests. */
export interface Clients extends Record<Caller, Client> {
  /** One more user at each call. */
  newUser(): Promise<Client>;
}

/** The thing on which an operation is tried. */
export interface Thing {
  /** The values of the path's parameters: `{ id }`. */
  values: Record<string, string>;
  /** Its owner, if not 'the owner'. */
  owner?: Client;
  /** The operation creates it, and needs no If-Match. */
  isNew?: boolean;
}

/** Facts about a module's routes that openapi.json does not have. */
export interface Contract<Name extends string = string> {
  /** The kinds of things that operations work on, each with a function that makes a new one. A thing is private if its owner may read it and others may not. */
  subjects: Record<Name, (clients: Clients) => Promise<Thing>>;
  /** The statuses of each operation of openapi.json for each caller, by the kind of thing; `nothing` when its path has no parameter. */
  operations: Record<string, Partial<Record<NoInfer<Name> | 'nothing', Answers>>>;
  /** Valid bodies, by operation, where the document's example is not enough: for example, when a value has to be new each time. */
  bodies?: Record<string, (clients: Clients) => unknown>;
  /** A value of the last path parameter for which nothing exists, by operation, when an arbitrary text does not serve. */
  absent?: Record<string, string>;
  /** Refusals, by operation, that need the body or a lock; every other one comes before a byte of the body is read. */
  behindTheBody?: Record<string, readonly number[]>;
  /** For each regular expression of a file of the module, in order, a text that a caller may send and that it matches. */
  texts?: Record<string, readonly string[]>;
  /** Statuses, by operation, that need more than one request, and that the module's own specs cover. */
  shownElsewhere?: Record<string, readonly number[]>;
}

/**
 * States the facts about a module's routes that openapi.json does not have, as the default export of `src/orders/orders.contract.ts`. The tests of all
 * routes (test/contract, test/security, test/e2e/edge-routes.spec.ts) find that file by its name. A module without one fails
 * `test/contract/statuses.spec.ts`, whose message has a first contract to paste.
 */
export const contract = <Name extends string>(given: Contract<Name>): Contract<Name> => given;
