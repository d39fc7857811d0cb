import { ADMIN } from '../support/app.js';
import type { Client } from '../support/client.js';
import { makeCollection, makeRecord, must, until } from '../support/collections.js';
import { Ledger, type Outcome } from '../support/ledger.js';
import { expectProblem } from '../support/problem.js';
import { expectUnharmed, pause } from '../support/process.js';
import { at, type Replicas, startReplicas, whileHeard } from '../support/replicas.js';
import { inMs, quantile, row } from '../support/row.js';
import { TestServer } from '../support/standby.js';

const CACHE_TTL_MS = 1000;
const ACQUIRE_TIMEOUT_MS = 2000;
const isFailure = ({ status }: Outcome) => status === 0 || status >= 500;

let server: TestServer;
let two: Replicas;
beforeAll(async () => {
  server = await TestServer.start();
  two = await startReplicas({ CACHE_TTL_MS: String(CACHE_TTL_MS) }, server);
}, 60_000);
afterAll(() => two?.close());

const statusOf = async (client: Client, probe: string) => (await client.get(`/health/${probe}`)).status;

row(11, '', async () => {
  const { admin, here, there } = two;
  const replicas = [here, there];
  const writers = await Promise.all([two.user(), two.user(), two.user(), two.user()]);
  const ledger = await Ledger.open(writers.map((writer, i) => (i % 2 ? writer : at(there, writer))));
  const set = await makeCollection(admin, 'public', 'kept');
  const { path, etag } = await makeRecord(admin, set, { kept: true });
  const kept = [path, set.path, `${set.path}/stats?bucket=day`];
  for (const { anyone } of replicas) expect(await statusOf(anyone, 'startup')).toBe(200);
  let stopped = 0;
  let slowest = 0;
  let isStopped = false;
  const stopAndLook = async () => {
    if (isStopped) await server.restart();
    isStopped = false;
    for (const { anyone } of replicas) {
      await until(async () => (await anyone.get('/health/ready')).body.status === 'ok');
      for (const one of kept) must(200, await anyone.get(one));
    }
    await pause(1000);
    stopped ||= Date.now();
    await server.stop();
    isStopped = true;
    await pause(2 * CACHE_TTL_MS + 1000);
    for (const replica of replicas) {
      const { anyone } = replica;
      const signedIn = at(replica, admin);
      const asked = [
        () => anyone.get('/api/v1/data'),
        () => anyone.get(set.records),
        () => anyone.get(`${set.records}/export`),
        () => anyone.get(`${set.path}/stats?bucket=hour`),
        () => anyone.get('/api/v1/data/never-read'),
        () => anyone.post('/api/v1/auth/login', ADMIN),
        () => anyone.post('/api/v1/auth/register', { ...ADMIN, email: 'b@example.com', name: 'B' }),
        () => signedIn.post(set.records, { data: {} }),
        () => signedIn.post(`${set.records}/bulk`, [{ data: {} }]),
        () => signedIn.patch(path, { data: { a: 1 } }, { 'if-match': etag }),
      ];
      for (const ask of asked) {
        const begun = Date.now();
        expectProblem(await ask(), 'temporary-reduced-capacity');
        slowest = Math.max(slowest, Date.now() - begun);
      }
      for (const one of kept) {
        // Repeatedly, at the edge and through the pipeline, also on new connections: a balancer that obeys readiness keeps
        // sending callers.
        for (const headers of [{}, { connection: 'close' }, {}, { connection: 'close' }] as Record<string, string>[]) {
          const read = must(200, await anyone.get(one, headers));
          expect([one, read.headers.get('cache-status')]).toEqual([
            one,
            expect.stringMatching(/^floodgate; hit; ttl=-\d+$/),
          ]);
        }
      }
      must(304, await anyone.get(path, { 'if-none-match': etag }));
      const ready = must(200, await anyone.get('/health/ready'));
      expect(ready.body).toMatchObject({
        status: 'degraded',
        checks: { process: { status: 'up' }, postgresql: { status: 'down', message: 'cannot be reached' } },
      });
      expect([await statusOf(anyone, 'live'), await statusOf(anyone, 'startup')]).toEqual([200, 200]);
      expect((await anyone.get('/metrics')).status).toBe(200);
    }
  };
  // A replica that does not hear the other one may serve nothing from its cache.
  await whileHeard(two, stopAndLook);
  expect(slowest).toBeLessThan(ACQUIRE_TIMEOUT_MS);

  const begun = Date.now();
  await server.restart();
  const back = Date.now();
  const isBack = async ({ anyone }: (typeof replicas)[number]) =>
    (await anyone.get('/health/ready')).body.status === 'ok';
  await Promise.all(replicas.map((replica) => until(() => isBack(replica), 10)));
  const readyMs = Date.now() - back;
  await pause(1500);
  const settled = Date.now();
  await pause(1500);
  expect(await ledger.settle(server)).toEqual([]);
  expect(ledger.count((one) => isFailure(one) && one.at + one.ms < stopped)).toBe(0);
  expect(ledger.count(({ status }) => status === 0)).toBe(0);
  expect(ledger.count(isFailure, settled)).toBe(0);
  for (const { anyone } of replicas) {
    // The first caller gets the cached answer once more while it is read anew.
    for (const one of kept) await until(async () => !(await anyone.get(one)).headers.has('cache-status'), 5);
  }
  expectUnharmed(here.program, there.program);
  const refused = ledger.outcomes.filter((one) => isFailure(one) && one.at > stopped && one.at < begun);
  const slowestUnderLoad = Math.max(...refused.map(({ ms }) => ms));
  expect(slowestUnderLoad).toBeLessThan(ACQUIRE_TIMEOUT_MS);
  return {
    'p99 before': inMs(quantile(ledger.times(0, stopped), 0.99)),
    'slowest 503': inMs(Math.max(slowest, slowestUnderLoad)),
    refused: refused.length,
    'ready again in': inMs(readyMs),
    acknowledged: ledger.acknowledged,
  };
});
