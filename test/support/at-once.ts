import type { Client, Response } from './client.js';
import { expectProblem } from './problem.js';
import { at, type Replicas } from './replicas.js';
import type { Figures } from './row.js';

/** The same caller at both replicas. */
export const atBoth = ({ there }: Replicas, caller: Client): [Client, Client] => [caller, at(there, caller)];

/** Sends this many requests at the same time, every other one to the other replica. */
export function atOnce(
  two: Replicas,
  count: number,
  caller: Client,
  ask: (client: Client, n: number) => Promise<Response>,
): Promise<Response[]> {
  const both = atBoth(two, caller);
  return Promise.all(Array.from({ length: count }, (_, n) => ask(both[n % 2] as Client, n)));
}

/** Opens every connection of the pools: a request that waits for one to open comes too late for a race. */
export async function warm(two: Replicas): Promise<void> {
  await atOnce(two, 100, two.admin, (admin) => admin.get('/api/v1/users'));
}

export const isReplay = ({ headers }: Response): boolean => headers.has('idempotency-replayed');

/** A short name of an answer: its status, and whether it is a replay. */
export const kindOf = (answer: Response): string => `${answer.status}${isReplay(answer) ? ' again' : ''}`;

/** The number of answers of each kind. */
export const kindsOf = (answers: Response[]): Figures =>
  Object.fromEntries([...Map.groupBy(answers, kindOf)].sort().map(([kind, { length }]) => [kind, `× ${length}`]));

/** The only answer with this status; all others must be this problem. */
export function onlyOne(answers: Response[], status: number, problem: Parameters<typeof expectProblem>[1]): Response {
  const [one, ...others] = answers.filter((answer) => answer.status === status);
  expect([one?.status, others.map(({ text }) => text)]).toEqual([status, []]);
  for (const answer of answers) if (answer !== one) expectProblem(answer, problem);
  return one as Response;
}
