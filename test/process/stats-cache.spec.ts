import type { Client } from '../support/client.js';
import { type MadeCollection, makeCollection, must, until } from '../support/collections.js';
import { whileLocked } from '../support/locks.js';
import { pause } from '../support/process.js';
import { at, type Replica, type Replicas, startReplicas, whileHeard } from '../support/replicas.js';

/** Instead of 10 s: statistics are cached no longer than anything else. */
const KEPT_MS = 2000;

let two: Replicas;
let owner: Client;
let set: MadeCollection;
beforeAll(async () => {
  // A caller counts as a writer for twice the lag that a replica may have.
  two = await startReplicas({ CACHE_TTL_MS: String(KEPT_MS), DATABASE_REPLICA_MAX_LAG_MS: '500' });
  owner = await two.user();
}, 60_000);
beforeEach(async () => {
  set = await makeCollection(owner);
  await add();
});
afterAll(() => two?.close());

const add = async () => must(201, await owner.post(set.records, { data: {} }));

/** @returns the total, and the seconds since the answer's expiry */
async function ask(client: Client, query = 'bucket=day'): Promise<[total: number, over: number]> {
  const { body, headers } = must(200, await client.get(`${set.path}/stats?${query}`));
  const [, ttl] = /^floodgate; hit; ttl=(-\d+)$/.exec(headers.get('cache-status') ?? '') ?? [];
  expect([null, `floodgate; hit; ttl=${ttl}`]).toContain(headers.get('cache-status'));
  return [body.total.count, ttl === undefined ? 0 : -Number(ttl)];
}

describe('statistics', () => {
  it('are cached for readers, served once more after expiry, and counted anew for writers', async () => {
    const { anyone } = two.here;
    expect(await ask(anyone)).toEqual([1, 0]);
    await add();
    expect(await ask(owner)).toEqual([2, 0]);
    expect(await ask(anyone)).toEqual([1, 0]);
    await pause(1.5 * KEPT_MS);
    const [total, over] = await ask(anyone);
    expect(total).toBe(1);
    expect(over).toBeGreaterThanOrEqual(1);
    expect(over).toBeLessThanOrEqual(KEPT_MS / 1000);
    // After that read they were counted in the background.
    await until(async () => (await ask(anyone))[0] === 2, 2);
    expect(await ask(anyone)).toEqual([2, 0]);
  });

  it('never go back for a caller who has seen more, on either process', async () => {
    for (const { anyone } of [two.here, two.there]) expect(await ask(anyone)).toEqual([1, 0]);
    await add();
    for (const one of [two.here, two.there]) await until(async () => (await ask(at(one, owner)))[0] === 2, 1);
    // The caller no longer counts as a writer, and the cached answers have not expired yet.
    await pause(1050);
    for (let n = 0; n < 5; n++) for (const one of [two.here, two.there]) expect((await ask(at(one, owner)))[0]).toBe(2);
    await pause(KEPT_MS);
    for (const one of [two.here, two.there]) expect((await ask(at(one, owner)))[0]).toBe(2);
  });

  it('are counted before they are served when they expired long ago', async () => {
    for (const { anyone } of [two.here, two.there]) expect(await ask(anyone)).toEqual([1, 0]);
    await add();
    await pause(2.2 * KEPT_MS);
    for (const { anyone } of [two.here, two.there]) expect(await ask(anyone)).toEqual([2, 0]);
  });

  it('are dropped on one process when another has counted anew', () =>
    whileHeard(two, async () => {
      const own = await makeCollection(owner, 'public', `counted-${Date.now()}`);
      const total = async ({ anyone }: Replica) =>
        must(200, await anyone.get(`${own.path}/stats?bucket=day`)).body.total.count;
      for (const one of [two.here, two.there]) expect(await total(one)).toBe(0);
      must(201, await owner.post(own.records, { data: {} }));
      await pause(1.2 * KEPT_MS);
      await total(two.here);
      await until(async () => (await total(two.here)) === 1, 2);
      await pause(300);
      // The cached answer there is not served even once more, though it could still be served stale.
      expect(await total(two.there)).toBe(1);
    }));

  it('are no older on the other process than on the one that counted them', async () => {
    const begun = Date.now();
    expect(await ask(two.here.anyone)).toEqual([1, 0]);
    await add();
    await pause(begun + 0.8 * KEPT_MS - Date.now());
    // It gets the answer that was counted here, with its age.
    expect(await ask(two.there.anyone)).toEqual([1, 0]);
    await pause(begun + 1.3 * KEPT_MS - Date.now());
    await ask(two.there.anyone);
    await pause(300);
    expect(await ask(two.there.anyone)).toEqual([2, 0]);
  });

  it('are counted once by two processes together, however many requests there are', async () => {
    const clients = [two.here.anyone, two.there.anyone].flatMap((client) => Array.from({ length: 50 }, () => client));
    const statement = `SELECT FROM pg_stat_activity
      WHERE wait_event_type = 'Lock' AND datname = current_database() AND query ~ 'date_trunc'`;
    let bucket = 0;
    await whileHeard(two, async () => {
      const query = `bucket=${['month', 'minute', 'hour'][bucket++]}`;
      const askAll = () => Promise.all(clients.map((client) => ask(client, query)));
      const look = () => two.database.query(statement);
      const [answers, waiting] = await whileLocked(two.database, 'records', 300, askAll, look);
      expect(waiting).toHaveLength(1);
      expect(new Set(answers.map(String))).toEqual(new Set(['1,0']));
    });
  });

  it('are counted anew for a writer on the other process, even when messages may get lost', async () => {
    expect(await ask(two.there.anyone)).toEqual([1, 0]);
    await two.there.toRedis.cut();
    try {
      await pause(1200);
      await add();
      expect((await ask(at(two.there, owner)))[0]).toBe(2);
    } finally {
      await two.there.toRedis.mend();
    }
  });
});
