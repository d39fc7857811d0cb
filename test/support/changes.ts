import type { Client, Response } from './client.js';
import { etagOf, freshName, makeCollection, makeRecord, must } from './collections.js';
import { pause } from './process.js';
import { at, type Replicas, untilHeard } from './replicas.js';
import { type Figures, inMs } from './row.js';

/** The other process shows a change within this time. */
const BOUND_MS = 1000;

let two: Replicas;
let owner: Client;

/** Sets the two processes on which changes are made. */
export async function useReplicas(replicas: Replicas): Promise<void> {
  two = replicas;
  owner = await two.user();
}

/** A change, with the results of reads before and after it. */
interface Change {
  what: string;
  /** The reads that show the change, each with its caller. */
  reads: [client: Client, path: string][];
  before: unknown;
  after: unknown;
  seen(answer: Response): unknown;
  make(): Promise<unknown>;
}

const status = (answer: Response) => answer.status;
const readers = () => [two.here.anyone, owner];

async function recordChange(what: string, make: (path: string, etag: string) => Promise<Response>, after: unknown) {
  const { path, etag } = await makeRecord(owner, await makeCollection(owner), { n: 1 });
  const seen = ({ status, body }: Response) => (status === 200 ? body.data.n : status);
  const reads = readers().map((client): [Client, string] => [client, path]);
  return { what, reads, before: 1, after, seen, make: () => make(path, etag) };
}

async function collectionChange(
  what: string,
  from: 'public' | 'private',
  to: number,
  make: (path: string, etag: string, by: Client) => Promise<unknown>,
): Promise<Change> {
  const by = await two.user();
  const set = await makeCollection(by, from);
  const { path } = await makeRecord(by, set);
  const paths = [path, set.path, set.records, `${set.records}?limit=1`];
  const reads = paths.map((one): [Client, string] => [two.here.anyone, one]);
  return {
    what,
    reads,
    before: from === 'public' ? 200 : 404,
    after: to,
    seen: status,
    make: () => make(set.path, set.etag, by),
  };
}

async function creation(): Promise<Change> {
  const path = `/api/v1/data/${freshName()}`;
  const make = () => owner.put(path, { visibility: 'public' });
  return {
    what: 'creation',
    reads: readers().map((client) => [client, path]),
    before: 404,
    after: 200,
    seen: status,
    make,
  };
}

async function userChange(): Promise<Change> {
  const user = await two.user();
  const path = `/api/v1/users/${user.userId}`;
  const etag = etagOf(must(200, await user.get(path)));
  const make = () => user.patch(path, { name: 'New' }, { 'if-match': etag });
  const reads = [two.admin, user].map((client): [Client, string] => [client, path]);
  return { what: 'user', reads, before: 'U', after: 'New', seen: ({ body }) => body.name, make };
}

const everyChange = (): Promise<Change[]> =>
  Promise.all([
    recordChange('put', (path, etag) => owner.put(path, { data: { n: 2 } }, { 'if-match': etag }), 2),
    recordChange('patch', (path, etag) => owner.patch(path, { data: { n: 2 } }, { 'if-match': etag }), 2),
    recordChange('delete', (path, etag) => owner.delete(path, { 'if-match': etag }), 404),
    collectionChange('made private', 'public', 404, (path, etag, by) =>
      by.put(path, { visibility: 'private' }, { 'if-match': etag }),
    ),
    collectionChange('made public', 'private', 200, (path, etag, by) =>
      by.put(path, { visibility: 'public' }, { 'if-match': etag }),
    ),
    collectionChange('collection deleted', 'public', 404, (path, etag, by) => by.delete(path, { 'if-match': etag })),
    collectionChange('owner deleted', 'public', 404, async (_path, _etag, by) => {
      const path = `/api/v1/users/${by.userId}`;
      return by.delete(path, { 'if-match': etagOf(must(200, await by.get(path))) });
    }),
    creation(),
    userChange(),
  ]);

const found = async (change: Change, [client, path]: Change['reads'][number]) => change.seen(await client.get(path));
const thereToo = ([client, path]: Change['reads'][number]): Change['reads'][number] => [at(two.there, client), path];

/** Fills every cache: at the edge and in the pipeline, on both processes and in Redis. */
async function warm(changes: Change[]): Promise<void> {
  for (let round = 0; round < 2; round++)
    for (const change of changes)
      for (const read of change.reads)
        for (const one of [read, thereToo(read)])
          expect([change.what, one[1], await found(change, one)]).toEqual([change.what, one[1], change.before]);
}

/** Makes the change, and reads: here at once, and there until well after the bound. @returns wrong answers, and the time of the last old one */
async function follow(change: Change): Promise<{ wrong: unknown[]; staleMs: number }> {
  const wrong: unknown[] = [];
  let staleMs = 0;
  const made = (await change.make()) as Response;
  if (made.status >= 300) throw new Error(`${change.what}: ${made.text}`);
  const madeAt = Date.now();
  for (const read of change.reads) {
    const value = await found(change, read);
    if (value !== change.after) wrong.push([change.what, 'here', read[1], value]);
  }
  while (Date.now() < madeAt + 2 * BOUND_MS) {
    for (const read of change.reads) {
      const after = Date.now() - madeAt;
      const value = await found(change, thereToo(read));
      if (value === change.before && change.before !== change.after) staleMs = Math.max(staleMs, after);
      if (value !== change.after && (after > BOUND_MS || value !== change.before))
        wrong.push([change.what, 'there', after, read[1], value]);
    }
    await pause(10);
  }
  return { wrong, staleMs };
}

/** A fault of messages or of Redis. */
export type Fault = [name: string, begin: () => unknown, end: () => unknown];

/** Caches everything that can change, and changes it during a fault: it must be seen here at once and there in time. */
export async function expectSeenInTime([, begin, end]: Fault): Promise<Figures> {
  const changes = await everyChange();
  await warm(changes);
  await begin();
  const followed: Awaited<ReturnType<typeof follow>>[] = [];
  try {
    followed.push(...(await Promise.all(changes.map(follow))));
  } finally {
    await end();
  }
  expect(followed.flatMap(({ wrong }) => wrong)).toEqual([]);
  await untilHeard();
  // No old state comes back with Redis.
  for (const change of changes)
    for (const read of change.reads)
      for (const one of [read, thereToo(read)])
        expect([change.what, one[1], await found(change, one)]).toEqual([change.what, one[1], change.after]);
  return {
    changes: changes.length,
    'last seen as before after': inMs(Math.max(...followed.map(({ staleMs }) => staleMs))),
  };
}

/** Expects that first reads there after a change, which Redis may answer, are not older than the bound either. */
export async function expectFirstReadsInTime([, begin, end]: Fault): Promise<Figures> {
  const set = await makeCollection(owner);
  const records = await Promise.all(Array.from({ length: 95 }, () => makeRecord(owner, set)));
  // The other process has the collection cached, and Redis has the records.
  for (const { path } of records) must(200, await two.here.anyone.get(path));
  must(200, await two.there.anyone.get(set.path));
  await begin();
  try {
    must(200, await owner.put(set.path, { visibility: 'private' }, { 'if-match': set.etag }));
    const madeAt = Date.now();
    const late = records.map(async ({ path }, i) => {
      await pause(madeAt + i * 10 - Date.now());
      await two.there.anyone.get(path);
      await pause(madeAt + BOUND_MS - Date.now());
      return [i, (await two.there.anyone.get(path)).status];
    });
    expect((await Promise.all(late)).filter(([, status]) => status !== 404)).toEqual([]);
  } finally {
    await end();
  }
  await untilHeard();
  return { 'read first behind the change': records.length };
}
