import { etagOf, makeCollection, makeRecord, must, until } from '../support/collections.js';
import { pause } from '../support/process.js';
import { survive, untilRedis, WELL } from '../support/redis-faults.js';
import { type Cluster, startCluster } from '../support/redis-group.js';
import { type Replicas, startReplicas, untilHeard } from '../support/replicas.js';
import { inMs, row } from '../support/row.js';

/** Of the second that is promised; the rest is for a slow machine. */
const BOUND_MS = 3000;
/** The nodes take a second to find one dead, and some more to agree on its replica. */
const FAILOVER_MS = 30_000;
const SLOTS = 500;

let cluster: Cluster;
let two: Replicas;
beforeAll(async () => {
  cluster = await startCluster();
  two = await startReplicas({ REDIS_URL: cluster.url, CACHE_TTL_MS: '20', CACHE_STALE_MS: '0' });
}, 120_000);
afterAll(async () => {
  await two?.close();
  await cluster?.close();
});

const both = () => [two.here, two.there];
const keyOf = (path: string) => `floodgate1:${path}`;

/** How many records of a page are put where all share them, on each node that has some. */
async function sharedOn(records: { path: string }[]): Promise<Map<number, number>> {
  const found = new Map<number, number>();
  for (const { path } of records) {
    const node = await cluster.ownerOf(keyOf(path));
    if ((await node.command('EXISTS', keyOf(path))) === '1') found.set(node.port, (found.get(node.port) ?? 0) + 1);
  }
  return found;
}

row(
  52,
  'a cluster moves slots',
  async () => {
    for (const one of both()) await untilRedis(WELL, one);
    const from = await cluster.ownerOf('{floodgate:limit}');
    const to = await cluster.ownerOf((await otherThan(from)).key);
    let movedMs = 0;
    const figures = await survive(two, {
      boundMs: BOUND_MS,
      begin: () => {},
      meanwhile: async () => {
        const begun = Date.now();
        await cluster.move(SLOTS, from, to);
        movedMs = Date.now() - begun;
      },
      end: () => {},
    });
    await untilHeard();
    // What all share is on every node, and limits are kept.
    const owner = await two.user();
    const set = await makeCollection(owner);
    const made = await Promise.all(Array.from({ length: 60 }, () => makeRecord(owner, set)));
    for (const { path } of made) must(200, await two.here.anyone.get(path));
    await pause(500);
    const shared = await sharedOn(made);
    expect(shared.size).toBe(3);
    return {
      ...figures,
      'slots moved': SLOTS,
      in: inMs(movedMs),
      'shared records on each': [...shared.values()].join(' '),
    };
  },
  180_000,
);

row(
  52,
  'a primary of a cluster is killed',
  async () => {
    for (const one of both()) await untilRedis(WELL, one);
    const victim = await cluster.ownerOf('floodgate1:present');
    let failedOverMs = 0;
    const figures = await survive(two, {
      boundMs: BOUND_MS,
      begin: () => victim.kill(),
      meanwhile: async () => {
        const begun = Date.now();
        await until(async () => (await cluster.ownerOf('floodgate1:present', victim)) !== victim, FAILOVER_MS / 1000);
        failedOverMs = Date.now() - begun;
      },
      end: () => {},
    });
    await untilHeard();
    // Changes made here are seen there.
    const owner = await two.user();
    const made = await makeRecord(owner, await makeCollection(owner), { n: 0 });
    let { etag } = made;
    for (let n = 1; n <= 5; n++) {
      must(200, await two.there.anyone.get(made.path));
      etag = etagOf(must(200, await owner.patch(made.path, { data: { n } }, { 'if-match': etag })));
      await until(async () => must(200, await two.there.anyone.get(made.path)).body.data.n === n, BOUND_MS / 1000);
    }
    return { ...figures, 'another one in its place in': inMs(failedOverMs) };
  },
  180_000,
);

/** A key of another primary. */
async function otherThan({ port }: { port: number }): Promise<{ key: string }> {
  for (let i = 0; ; i++) {
    const key = `floodgate1:${i}`;
    if ((await cluster.ownerOf(key)).port !== port) return { key };
  }
}
