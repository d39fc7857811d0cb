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
/** Who waits for a connection first and then for an answer, on a busy machine. */
const MOST_MS = QUERY_TIMEOUT_MS + ACQUIRE_TIMEOUT_MS + 1000;
/** Requests of one caller go to either replica. */
const SEEN_WITHIN_MS = 1000;
/** Longer than any time-out, and than what is given out as if it were not past its time. */
const OUTAGE_MS = 8000;
/** Who comes back before this one is missed is none that others had to do without. */
const APART_MS = 1000;
/** Three times, see whileHeard. */
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

  /** Nobody can use PostgreSQL for a while: what is kept is read on, from both, and neither is ever left out. */
  async function nobodyCan(begin: () => unknown, end: () => Promise<void>) {
    const { admin } = two;
    const set = await makeCollection(admin, 'public', `kept-${Date.now()}`);
    const { path, etag } = await makeRecord(admin, set, { kept: true });
    const lasting = [path, set.path];
    const stats = `${set.path}/stats?bucket=day`;
    const signedIn = new Client(balancer.url, admin.tokens);
    const ledger = await Ledger.open(
      [await two.user(), await two.user()].map(({ tokens, userId }) => new Client(balancer.url, tokens, userId)),
      // They are here for what they are told; load is the other tests' matter.
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
    // What is refused is refused by a replica: the balancer has somebody to send it to, always.
    expect(ledger.count(({ status }) => status === 0)).toBe(0);
    const stale = came.filter(({ headers }) => /; ttl=-\d+$/.test(String(headers['cache-status'])));
    expect(stale.length).toBeGreaterThan(came.length / 4);
    expectUnharmed(two.here.program, two.there.program);
    const ofStats = came.filter(({ path }) => path === stats);
    const slowestOf = (some: Arrival[]) => Math.max(...some.map(({ ms }) => ms));
    expect(slowestOf(ofStats)).toBeLessThan(MOST_MS);
    expect(slowest).toBeLessThan(MOST_MS);
    const ofOthers = came.filter(({ path }) => path !== stats);
    // What is past its time is given out before it is asked for anew, but for statistics, which are never so much past it.
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

  row(11, 'behind HAProxy, and Redis stopped as well', async () => {
    await untilWell();
    const set = await makeCollection(two.admin, 'public', 'unheard');
    const { path } = await makeRecord(two.admin, set);
    for (const { anyone } of both()) must(200, await anyone.get(path));
    const before = await timesDown();
    await Promise.all([server.stop(), two.redis.kill()]);
    // Who hears nothing of the others gives out nothing that they may have changed.
    await until(async () => (await Promise.all(both().map(({ anyone }) => anyone.get(path)))).every(isRefused));
    const leave = arrivals(balancer.url, ['/api/v1/data', path]);
    await pause(OUTAGE_MS);
    const came = await leave();
    await Promise.all([server.restart(), two.redis.start()]);
    await untilWell();
    expect(await timesDown()).toEqual(before);
    // By a replica, which says when to ask again, and not by the balancer.
    const refused = came.filter(
      ({ status, headers }) => status === 503 && headers['retry-after'] && headers['x-request-id'],
    );
    expect(refused.length).toBe(came.length);
    expectUnharmed(two.here.program, two.there.program);
    return { readers: came.length, 'refused by a replica': refused.length, 'left out': 0 };
  });

  row(
    17,
    'behind HAProxy, and back at one replica a second before the other',
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
    // What needs PostgreSQL, as all of it goes where that can be used.
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
