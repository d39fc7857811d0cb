import type { Client } from '../support/client.js';
import { type MadeCollection, makeCollection, makeRecord, must, until } from '../support/collections.js';
import { pause } from '../support/process.js';
import { at, type Replica, type Replicas, startReplicas, untilHeard } from '../support/replicas.js';
import { row } from '../support/row.js';

let two: Replicas;
let owner: Client;
beforeAll(async () => {
  two = await startReplicas();
  owner = await two.user();
}, 60_000);
afterAll(() => two?.close());

/** The time at which PostgreSQL last ran a read of this kind for the app. */
const done = async (kind: RegExp) =>
  (
    await two.database.query<{ at: Date | null }>(
      `SELECT max(query_start) AS at FROM pg_stat_activity WHERE state = 'idle' AND datname = current_database() AND query ~ $1`,
      [kind.source],
    )
  )[0]?.at?.getTime() ?? 0;
const RECORD = /FROM records WHERE id = ANY/;
const COLLECTION = /^SELECT .* FROM collections WHERE name/;

/** Delays the answer to a read of PostgreSQL: it has the state before `change`, and arrives after it. */
async function overtaken(replica: Replica, kind: RegExp, path: string, change: () => Promise<unknown>) {
  const before = await done(kind);
  replica.toDatabase.hold('answers');
  const slow = replica.anyone.get(path);
  try {
    await until(async () => (await done(kind)) > before);
    await change();
    // The message of the change has arrived, when there was nothing to drop yet.
    await pause(100);
  } finally {
    replica.toDatabase.release();
  }
  await slow;
  await pause(100);
}

const n = async ({ anyone }: Replica, path: string) => must(200, await anyone.get(path)).body.data.n;

let set: MadeCollection;
beforeEach(async () => {
  set = await makeCollection(owner);
  // Both replicas have the collection cached.
  for (const { anyone } of [two.here, two.there]) must(200, await anyone.get(set.path));
});

/** The number of records that are tried. */
const ROUNDS = 5;

row(9, 'of a record, in this process, the other, or Redis', async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const { path, etag } = await makeRecord(owner, set, { n: 1 });
    await overtaken(two.there, RECORD, path, async () =>
      must(200, await owner.put(path, { data: { n: 2 } }, { 'if-match': etag })),
    );
    expect([await n(two.here, path), await n(two.there, path)]).toEqual([2, 2]);
    for (const client of [owner, at(two.there, owner)]) expect(must(200, await client.get(path)).body.data.n).toBe(2);
  }
  return { 'fills overtaken': ROUNDS, 'old values': 0 };
});

row(9, 'of a collection that has become private', async () => {
  const { path } = await makeRecord(owner, set);
  // The change has dropped it from every cache.
  const changed = must(
    200,
    await owner.put(set.path, { visibility: 'public', description: 'x' }, { 'if-match': set.etag }),
  );
  await pause(100);
  await overtaken(two.there, COLLECTION, path, async () =>
    must(
      200,
      await owner.put(set.path, { visibility: 'private' }, { 'if-match': changed.headers.get('etag') as string }),
    ),
  );
  for (const { anyone } of [two.here, two.there])
    for (const one of [path, set.path, set.records]) expect([one, (await anyone.get(one)).status]).toEqual([one, 404]);
  for (const client of [owner, at(two.there, owner)])
    expect(must(200, await client.get(path)).headers.get('cache-control')).toBe('private, no-cache');
  return { 'fills overtaken': 1, 'old values': 0 };
});

row(9, 'put into Redis late, with the message of the update lost as well', async () => {
  const { path, etag } = await makeRecord(owner, set, { n: 1 });
  // Its read is on its way to Redis, and does not arrive before the update.
  two.there.toRedis.hold('everything');
  expect(await n(two.there, path)).toBe(1);
  must(200, await owner.put(path, { data: { n: 2 } }, { 'if-match': etag }));
  await pause(100);
  await two.redis.command('CLIENT', 'KILL', 'TYPE', 'pubsub');
  await pause(100);
  two.there.toRedis.release();
  await untilHeard();
  await untilHeard();
  expect([await n(two.there, path), await n(two.here, path)]).toEqual([2, 2]);
  return { 'fills overtaken': 1, 'old values': 0 };
});
