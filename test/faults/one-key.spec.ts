import { atBoth, atOnce, isReplay, kindOf, kindsOf, onlyOne, warm } from '../support/at-once.js';
import type { Client, Response } from '../support/client.js';
import { makeCollection } from '../support/collections.js';
import { expectProblem } from '../support/problem.js';
import { expectUnharmed } from '../support/process.js';
import { type Replicas, startReplicas } from '../support/replicas.js';
import { row } from '../support/row.js';
import { lines, NDJSON, tally, untilFree } from '../support/uploads.js';

let two: Replicas;
let ada: Client;
beforeAll(async () => {
  two = await startReplicas();
  ada = await two.user();
  await warm(two);
}, 60_000);
afterEach(() => expectUnharmed(two.here.program, two.there.program));
afterAll(() => two?.close());

let keys = 0;
const freshKey = () => ({ 'idempotency-key': `key ${++keys}` });

/** The answer to the one request that took effect; all others must be its replay, or say that it is still running. */
function oneEffect(answers: Response[], status: number): Response {
  const [again, first] = [answers.filter(isReplay), answers.filter((answer) => !isReplay(answer))];
  const made = onlyOne(first, status, 'conflict');
  for (const answer of again) expect([answer.status, answer.text]).toEqual([status, made.text]);
  return made;
}

row(20, 'one record', async () => {
  const set = await makeCollection(ada);
  const all: Response[] = [];
  for (let round = 1; round <= 5; round++) {
    const key = freshKey();
    const make = (client: Client) => client.post(set.records, { data: { n: round } }, key);
    const answers = await atOnce(two, 50, ada, make);
    const made = oneEffect(answers, 201);
    expect(await tally(two.database, set)).toEqual([round, round]);
    for (const client of atBoth(two, ada)) {
      const again = await untilFree(() => make(client));
      expect([again.text, kindOf(again)]).toEqual([made.text, '201 again']);
    }
    all.push(...answers);
  }
  return kindsOf(all);
});

row(20, 'two bodies under one key', async () => {
  const set = await makeCollection(ada);
  const key = freshKey();
  const make = (client: Client, n: number) => client.post(set.records, { data: { n } }, key);
  const answers = await atOnce(two, 50, ada, (client, n) => make(client, Math.floor(n / 2) % 2));
  const isRefused = ({ status }: Response) => status === 422;
  const { n } = oneEffect(
    answers.filter((answer) => !isRefused(answer)),
    201,
  ).body.data;
  for (const answer of answers.filter(isRefused)) expectProblem(answer, 'idempotency-key-reused');
  expect(await tally(two.database, set)).toEqual([1, 1]);
  for (const client of atBoth(two, ada)) {
    expect([kindOf(await make(client, n)), kindOf(await make(client, 1 - n))]).toEqual(['201 again', '422']);
  }
  return kindsOf(answers);
});

row(20, 'many keys, in a different order at each replica', async () => {
  const set = await makeCollection(ada);
  const all: Response[] = [];
  for (let round = 0; round < 20; round++) {
    const named = Array.from({ length: 50 }, freshKey);
    const answers = await atOnce(two, 2 * named.length, ada, (client, n) => {
      const own = Math.floor(n / 2);
      const which = n % 2 ? own : named.length - 1 - own;
      return client.post(set.records, { data: { n: named.length * round + which } }, named[which]);
    });
    for (const same of Map.groupBy(answers, ({ body }) => body.data?.n).values()) oneEffect(same, 201);
    all.push(...answers);
  }
  expect(await tally(two.database, set)).toEqual([1000, 1000]);
  return kindsOf(all);
});

row(20, 'a plain upload and an atomic one', async () => {
  const set = await makeCollection(ada);
  const all: Response[] = [];
  for (const query of ['', '?atomic=true']) {
    const key = freshKey();
    const load = (client: Client) => client.post(`${set.records}/bulk${query}`, lines(1, 6000), { ...NDJSON, ...key });
    const answers = await atOnce(two, 50, ada, load);
    expect(oneEffect(answers, 200).body.inserted).toBe(6000);
    for (const client of atBoth(two, ada)) expect(kindOf(await untilFree(() => load(client)))).toBe('200 again');
    all.push(...answers);
  }
  expect(await tally(two.database, set)).toEqual([12_000, 6000]);
  return kindsOf(all);
});
