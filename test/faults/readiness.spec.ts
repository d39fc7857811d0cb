import { type Arrival, arrivals } from '../support/arrivals.js';
import { Client } from '../support/client.js';
import { makeCollection, makeRecord, must, until } from '../support/collections.js';
import { type HaProxy, haproxy } from '../support/haproxy.js';
import { Ledger } from '../support/ledger.js';
import { expectProblem } from '../support/problem.js';
import { expectUnharmed, pause } from '../support/process.js';
import { describeWith } from '../support/program.js';
import { at, type Replicas, startReplicas, whileHeard } from '../support/replicas.js';
import { inMs, row } from '../support/row.js';
import { TestServer } from '../support/standby.js';

const CACHE_TTL_MS = 1000;
const QUERY_TIMEOUT_MS = 2000;
const ACQUIRE_TIMEOUT_MS = 1000;
/** The bound for a request that waits first for a connection and then for an answer, on a busy machine. */
const MOST_MS = QUERY_TIMEOUT_MS + ACQUIRE_TIMEOUT_MS + 1000;
/** A change must be seen within this time, since requests of one caller go to either replica. */
const SEEN_WITHIN_MS = 1000;
/** Longer than any time-out, and than any time for which answers count as fresh. */
const OUTAGE_MS = 8000;
/** The time by which one replica returns before the other. */
const APART_MS = 1000;
/** Enough for three tries, see whileHeard. */
const LONGEST_MS = 120_000;

const isRefused = ({ status }: { status: number }) => status === 503;

describeWith('haproxy', 'readers on new connections, behind a balancer that obeys readiness', () => {
  let server: TestServer;
  let two: Replicas;
  let balancer: HaProxy;
  beforeAll(async () => {
    server = await TestServer.start();
    two = await startReplicas(
      {
        CACHE_TTL_MS: String(CACHE_TTL_MS),
        DATABASE_QUERY_TIMEOUT_MS: String(QUERY_TIMEOUT_MS),
        DATABASE_ACQUIRE_TIMEOUT_MS: String(ACQUIRE_TIMEOUT_MS),
        SESSION_CHECK_MS: '5000',
      },
      server,
    );
    balancer = await haproxy([two.here.anyone.url, two.there.anyone.url]);
  }, 60_000);
  afterAll(async () => {
    await balancer?.close();
    await two?.close();
  });

  const both = () => [two.here, two.there];
  const health = async ({ anyone }: Replicas['here']) => (await anyone.get('/health/ready')).body;
  const untilWell = () =>
    Promise.all(both().map((one) => until(async () => (await health(one)).status === 'ok'))).then(() =>
      until(async () => (await balancer.servers()).every(({ isUp }) => isUp)),
    );
  const timesDown = async () => (await balancer.servers()).map((one) => one.timesDown);

  /** PostgreSQL is unavailable to all replicas for a while: both keep serving cached reads, and neither is taken out of service. */
  async function nobodyCan(begin: () => unknown, end: () => Promise<void>) {
    const { admin } = two;
    const set = await makeCollection(admin, 'public', `kept-${Date.now()}`);
    const { path, etag } = await makeRecord(admin, set, { kept: true });
    const lasting = [path, set.path];
    const stats = `${set.path}/stats?bucket=day`;
    const signedIn = new Client(balancer.url, admin.tokens);
    const ledger = await Ledger.open(
      [await two.user(), await two.user()].map(({ tokens, userId }) => new Client(balancer.url, tokens, userId)),
      // These callers check answers; other tests are about load.
      { seenWithinMs: SEEN_WITHIN_MS, thinkMs: 50 },
    );
    let isOut = false;
    let came: Arrival[] = [];
    let slowest = 0;
    await whileHeard(two, async () => {
      if (isOut) await end();
      isOut = false;
      await untilWell();
      for (const one of both()) for (const path of [...lasting, stats]) must(200, await one.anyone.get(path));
      const before = await balancer.servers();
      const leave = [lasting, lasting, [stats]].map((paths) => arrivals(balancer.url, paths));
      try {
        await pause(500);
        await begin();
        isOut = true;
        await pause(OUTAGE_MS);
        for (const one of both())
          expect(await health(one)).toMatchObject({ status: 'degraded', checks: { postgresql: { status: 'down' } } });
        const asked = [
          () => signedIn.get(set.records),
          () => signedIn.post(set.records, { data: {} }),
          () => signedIn.patch(path, { data: { a: 1 } }, { 'if-match': etag }),
        ];
        for (const ask of [...asked, ...asked]) {
          const begun = Date.now();
          expectProblem(await ask(), 'temporary-reduced-capacity');
          slowest = Math.max(slowest, Date.now() - begun);
        }
        await end();
        isOut = false;
        await untilWell();
      } finally {
        came = (await Promise.all(leave.map((end) => end()))).flat();
      }
      expect(came.filter(({ status }) => status !== 200).map(({ path, status }) => [path, status])).toEqual([]);
      const after = await balancer.servers();
      expect(after.map(({ timesDown }) => timesDown)).toEqual(before.map(({ timesDown }) => timesDown));
      for (const [index, { answers }] of after.entries())
        expect(answers - (before[index]?.answers ?? 0)).toBeGreaterThan(came.length / 3);
    });
    expect(await ledger.settle(server)).toEqual([]);
    // Refusals come from a replica: the balancer always has one to send requests to.
    expect(ledger.count(({ status }) => status === 0)).toBe(0);
    const stale = came.filter(({ headers }) => /; ttl=-\d+$/.test(String(headers['cache-status'])));
    expect(stale.length).toBeGreaterThan(came.length / 4);
    expectUnharmed(two.here.program, two.there.program);
    const ofStats = came.filter(({ path }) => path === stats);
    const slowestOf = (some: Arrival[]) => Math.max(...some.map(({ ms }) => ms));
    expect(slowestOf(ofStats)).toBeLessThan(MOST_MS);
    expect(slowest).toBeLessThan(MOST_MS);
    const ofOthers = came.filter(({ path }) => path !== stats);
    // Stale answers are served before they are reloaded, except statistics, which may not be that stale.
    expect(slowestOf(ofOthers)).toBeLessThan(QUERY_TIMEOUT_MS);
    return {
      readers: came.length,
      'of them refused': 0,
      'given what is marked stale': stale.length,
      'slowest reader of a record': inMs(slowestOf(ofOthers)),
      'slowest reader of statistics': inMs(slowestOf(ofStats)),
      'slowest 503': inMs(slowest),
      acknowledged: ledger.acknowledged,
    };
  }

  row(
    11,
    'behind HAProxy',
    () =>
      nobodyCan(
        () => server.stop(),
        () => server.restart(),
      ),
    LONGEST_MS,
  );

  row(11, 'behind HAProxy, with Redis stopped as well', async () => {
    await untilWell();
    const set = await makeCollection(two.admin, 'public', 'unheard');
    const { path } = await makeRecord(two.admin, set);
    for (const { anyone } of both()) must(200, await anyone.get(path));
    const before = await timesDown();
    await Promise.all([server.stop(), two.redis.kill()]);
    // A replica that does not hear the others serves nothing that they may have changed.
    await until(async () => (await Promise.all(both().map(({ anyone }) => anyone.get(path)))).every(isRefused));
    const leave = arrivals(balancer.url, ['/api/v1/data', path]);
    await pause(OUTAGE_MS);
    const came = await leave();
    await Promise.all([server.restart(), two.redis.start()]);
    await untilWell();
    expect(await timesDown()).toEqual(before);
    // Refused by a replica, which sends Retry-After, and not by the balancer.
    const refused = came.filter(
      ({ status, headers }) => status === 503 && headers['retry-after'] && headers['x-request-id'],
    );
    expect(refused.length).toBe(came.length);
    expectUnharmed(two.here.program, two.there.program);
    return { readers: came.length, 'refused by a replica': refused.length, 'left out': 0 };
  });

  row(
    17,
    'behind HAProxy, back at one replica a second before the other',
    () =>
      nobodyCan(
        () => both().map(({ toDatabase }) => toDatabase.hold('everything')),
        async () => {
          two.there.toDatabase.release();
          await pause(APART_MS);
          two.here.toDatabase.release();
        },
      ),
    LONGEST_MS,
  );

  row(49, 'behind HAProxy', async () => {
    const { admin, here } = two;
    const set = await makeCollection(admin, 'public', 'listed');
    await untilWell();
    const before = await timesDown();
    here.toDatabase.cut();
    const cut = Date.now();
    await until(async () => (await balancer.servers())[0]?.isUp === false);
    const leftOut = Date.now();
    // Reads that need PostgreSQL, since all of them go to the replica that can use it.
    const leave = arrivals(balancer.url, [set.records, '/api/v1/data']);
    await pause(3000);
    for (let i = 0; i < 5; i++) must(201, await at(two.there, admin).post(set.records, { data: { i } }));
    here.toDatabase.mend();
    const mended = Date.now();
    await until(async () => (await balancer.servers())[0]?.isUp === true);
    const back = Date.now();
    const [{ answers: atFirst } = { answers: 0 }] = await balancer.servers();
    await pause(1000);
    const came = await leave();
    expect(came.filter(({ status }) => status !== 200)).toEqual([]);
    const [again, other] = await balancer.servers();
    expect(again?.answers).toBeGreaterThan(atFirst);
    expect([again?.timesDown, other?.timesDown]).toEqual([(before[0] ?? 0) + 1, before[1]]);
    expectUnharmed(here.program, two.there.program);
    return {
      'left out in': inMs(leftOut - cut),
      'back in': inMs(back - mended),
      readers: came.length,
      'of them refused': 0,
    };
  });
});
