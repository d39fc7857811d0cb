import { startApp, type TestApp } from '../support/app.js';
import type { Client, Response } from '../support/client.js';
import { type MadeCollection, makeCollection, makeRecord } from '../support/collections.js';
import { whileLocked } from '../support/locks.js';

const ABSENT = '01890000-0000-7000-8000-000000000000';
/** Long enough that the pipeline does not retry a failed read. */
const WAIT_MS = 300;

let app: TestApp;
let owner: Client;
let stranger: Client;
beforeAll(async () => {
  app = await startApp({ CACHE_TTL_MS: '0' });
  [owner, stranger] = [await app.user('owner'), await app.user('stranger')];
});
afterAll(() => app?.close());

/** Reads while both tables are locked for a while. */
async function reads(...all: (() => Promise<Response>)[]): Promise<Response[]> {
  // The edge answers callers whose tokens are cached.
  for (const client of [owner, stranger]) await client.get('/api/v1/users/me');
  const [answers] = await whileLocked(app.database, 'collections, records', WAIT_MS, () =>
    Promise.all(all.map((read) => read())),
  );
  return answers;
}
const seen = ({ status, body }: Response) => [status, body.type, body.detail];

let hidden: MadeCollection;
beforeEach(async () => {
  hidden = await makeCollection(owner, 'private');
});

it('gives a stranger the same answer for a private record, a missing one and a missing collection', async () => {
  const { path } = await makeRecord(owner, hidden);
  const answers = await reads(
    () => stranger.get(path),
    () => stranger.get(`${hidden.records}/${ABSENT}`),
    () => stranger.get(`/api/v1/data/nowhere/records/${ABSENT}`),
    () => stranger.get(hidden.path),
  );
  expect(answers.map(seen)).toEqual(Array(4).fill(seen(answers[0] as Response)));
  expect(answers[0]?.status).toBe(404);
});

it('answers the owner correctly even when a stranger asked first', async () => {
  const { path } = await makeRecord(owner, hidden);
  const absent = `${hidden.records}/${ABSENT}`;
  const answers = await reads(
    () => stranger.get(absent),
    () => owner.get(absent),
    () => stranger.get(path),
    () => owner.get(path),
  );
  expect(answers.map(({ status }) => status)).toEqual([404, 404, 404, 200]);
  expect(answers[1]?.body.detail).toBe('There is no record with this id.');
  expect(answers[0]?.body.detail).not.toBe(answers[1]?.body.detail);
});
