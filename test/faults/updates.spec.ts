import type { Client, Response } from '../support/client.js';
import { etagOf, freshName, makeCollection, makeRecord, must } from '../support/collections.js';
import { pause } from '../support/process.js';
import { at, type Replicas, startReplicas, untilHeard } from '../support/replicas.js';

/** Within this, a change is seen on the other process. */
const BOUND_MS = 1000;

let two: Replicas;
let owner: Client;
beforeAll(async () => {
  two = await startReplicas();
  owner = await two.user();
}, 60_000);
afterAll(() => two.close());

/** A change, by what reads find before it and after it. */
interface Change {
  what: string;
  /** The reads that show it, each by its own caller. */
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

/** Everything is kept in every way there is: at the edge, by the pipeline, on both processes and in Redis. */
async function warm(changes: Change[]): Promise<void> {
  for (let round = 0; round < 2; round++)
    for (const change of changes)
      for (const read of change.reads)
        for (const one of [read, thereToo(read)])
          expect([change.what, one[1], await found(change, one)]).toEqual([change.what, one[1], change.before]);
}

/** Makes the change, and reads: here at once, and there until well behind the bound. @returns what was wrong */
async function follow(change: Change): Promise<unknown[]> {
  const wrong: unknown[] = [];
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
      if (value !== change.after && (after > BOUND_MS || value !== change.before))
        wrong.push([change.what, 'there', after, read[1], value]);
    }
    await pause(10);
  }
  return wrong;
}

const nothing = async () => {};
const faults: [name: string, begin: () => unknown, end: () => unknown][] = [
  ['all is well', nothing, nothing],
  ['the other process is cut off from Redis', () => two.there.toRedis.cut(), () => two.there.toRedis.mend()],
  ['the one that changes it is cut off from Redis', () => two.here.toRedis.cut(), () => two.here.toRedis.mend()],
  [
    'Redis answers the other one no more',
    () => two.there.toRedis.hold('everything'),
    () => two.there.toRedis.release(),
  ],
  ['Redis answers the one no more', () => two.here.toRedis.hold('everything'), () => two.here.toRedis.release()],
  ['Redis is dead', () => two.redis.kill(), () => two.redis.start()],
  ['Redis is frozen', () => two.redis.signal('SIGSTOP'), () => two.redis.signal('SIGCONT')],
];

it.each(faults)(
  'a change is seen by the next read, and within 1 s by the other process, when %s',
  async (_name, begin, end) => {
    const changes = await everyChange();
    await warm(changes);
    await begin();
    try {
      expect((await Promise.all(changes.map(follow))).flat()).toEqual([]);
    } finally {
      await end();
    }
    await untilHeard();
    // Nothing that is old comes back with Redis.
    for (const change of changes)
      for (const read of change.reads)
        for (const one of [read, thereToo(read)])
          expect([change.what, one[1], await found(change, one)]).toEqual([change.what, one[1], change.after]);
  },
  60_000,
);

it.each(faults)(
  'what the other process reads for the first time behind a change is no older than 1 s, when %s',
  async (_name, begin, end) => {
    const set = await makeCollection(owner);
    const records = await Promise.all(Array.from({ length: 95 }, () => makeRecord(owner, set)));
    // The collection is kept there, and the records are in Redis.
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
      expect((await Promise.all(late)).filter(([, found]) => found !== 404)).toEqual([]);
    } finally {
      await end();
    }
    await untilHeard();
  },
  60_000,
);
