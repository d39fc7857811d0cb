import { existsSync, readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { ADMIN } from './app.js';
import type { Client } from './client.js';
import { type Answers, CALLERS, type Caller, type Clients, type Contract, type Thing } from './contract.js';
import { newcomers } from './newcomers.js';
import { type Operation, operations, pathOf } from './operations.js';
import { adviceFor, contractOfRoom, roomOf } from './unsaid.js';

const contracts: (Contract & { room: string })[] = await Promise.all(
  readdirSync('src')
    .filter((room) => existsSync(contractOfRoom(room)))
    .map(async (room) => ({ room, ...((await import(resolve(contractOfRoom(room)))).default as Contract) })),
);

/** The contract that covers an operation, if there is one. */
const contractOf = ({ id }: Operation) => contracts.find((contract) => contract.operations[id]);

/** The file that has, or should have, the contract of the operation. */
export const contractFileOf = (operation: Operation): string =>
  contractOfRoom(contractOf(operation)?.room ?? roomOf(operation));

/** @throws Error with the text to write and its place, when contracts and openapi.json do not have the same operations */
export function assertAllSaid(): void {
  const missing = operations.filter((operation) => !contractOf(operation));
  if (missing.length > 0) throw new Error(adviceFor(missing));
  const known = operations.map(({ id }) => id);
  for (const { room, operations } of contracts)
    for (const id of Object.keys(operations))
      if (!known.includes(id)) throw new Error(`${contractOfRoom(room)} speaks of ${id}, which openapi.json has not.`);
}

/** Texts that regular expressions match, by file below src. */
export const texts: Record<string, readonly string[]> = Object.fromEntries(
  contracts.flatMap(({ room, texts = {} }) => Object.entries(texts).map(([file, of]) => [`${room}/${file}`, of])),
);

/** The kinds of things that an operation works on, with its statuses. */
export const targetsOf = (operation: Operation): [target: string, answers: Answers][] =>
  Object.entries(contractOf(operation)?.operations[operation.id] ?? {}) as [string, Answers][];

export interface Row {
  operation: Operation;
  id: string;
  target: string;
  caller: Caller;
  status: number;
}

/** Every status for every caller, one by one. */
export const table: Row[] = operations.flatMap((operation) =>
  targetsOf(operation).flatMap(([target, answers]) =>
    CALLERS.map((caller, i) => ({ operation, id: operation.id, target, caller, status: answers[i] as number })),
  ),
);

/** Signs in the admin of the tests and two new users. */
export async function clientsAt(anyone: Client): Promise<Clients> {
  const newUser = newcomers(anyone);
  const admin = await anyone.signIn(ADMIN.email, ADMIN.password);
  return { nobody: anyone, 'another user': await newUser(), 'the owner': await newUser(), 'an admin': admin, newUser };
}

export type Made = Required<Thing>;

/**
 * Makes a new thing for the operation, by default of its first kind. For an operation without
 * a contract, it is a thing that does not exist.
 */
export async function makeFor(operation: Operation, clients: Clients, target?: string): Promise<Made> {
  const name = target ?? targetsOf(operation)[0]?.[0] ?? 'nothing';
  const making = contractOf(operation)?.subjects[name]?.(clients);
  const made = await making?.catch((error) => {
    const advice = 'Each test makes its own: what nobody else may have, such as a name, has to be new at each call.';
    throw new Error(`${contractFileOf(operation)} could not make ${name}: ${error.message}\n${advice}`);
  });
  return { owner: clients['the owner'], isNew: false, values: operation.unknown, ...made };
}

/** The operation's path to a thing that does not exist. */
export function absentPathOf(operation: Operation, { values }: Made): string {
  const last = /\{(\w+)\}[^{]*$/.exec(operation.path)?.[1] as string;
  const absent = contractOf(operation)?.absent?.[operation.id] ?? operation.unknown[last];
  return pathOf(operation, { ...values, [last]: absent as string });
}

/** A body that the operation accepts. */
export const bodyFor = async (operation: Operation, clients: Clients): Promise<unknown> =>
  (await contractOf(operation)?.bodies?.[operation.id]?.(clients)) ?? operation.body;

/** The client that may do it to a thing: its owner or an admin. */
export function callerFor(operation: Operation, clients: Clients, { owner }: Made): Client {
  const [, answers] = targetsOf(operation)[0] ?? [];
  return answers && answers[2] >= 400 ? clients['an admin'] : owner;
}

/** The header that allows a change of any version. */
export const tagFor = ({ takesIfMatch }: Operation, { isNew }: Made): Record<string, string> =>
  takesIfMatch && !isNew ? { 'if-match': '*' } : {};

/** The reads of a thing that its owner may do; the operation may be one of them. */
export const readsOf = (operation: Operation, target: string): Operation[] =>
  table
    .filter((row) => row.target === target && row.caller === 'the owner' && row.status === 200)
    .map((row) => row.operation)
    .filter((read) => read.method === 'GET' && target !== 'nothing' && contractOf(read) === contractOf(operation));

/** Whether the refusal needs the body, so that the general test cannot expect it before. */
export const isBehindTheBody = ({ operation, id, status }: Row): boolean =>
  contractOf(operation)?.behindTheBody?.[id]?.includes(status) ?? false;
export const isShownElsewhere = (operation: Operation, status: number): boolean =>
  contractOf(operation)?.shownElsewhere?.[operation.id]?.includes(status) ?? false;
