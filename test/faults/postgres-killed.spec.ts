import { makeCollection, until } from '../support/collections.js';
import { Ledger, type Outcome } from '../support/ledger.js';
import { expectUnharmed, pause } from '../support/process.js';
import { at, type Replicas, startReplicas } from '../support/replicas.js';
import { inMs, quantile, row } from '../support/row.js';
import { TestServer } from '../support/standby.js';

const isFailure = ({ status }: Outcome) => status === 0 || status >= 500;

let server: TestServer;
let two: Replicas;
beforeAll(async () => {
  // As in production, acknowledged data is on disk.
  server = await TestServer.start(undefined, false);
  two = await startReplicas({}, server);
}, 60_000);
afterAll(() => two?.close());

/** Puts load on both replicas while PostgreSQL dies and returns; each must serve again within 10 s of its return. */
async function survive(die: () => Promise<void>, comeBack: () => Promise<void>) {
  const { here, there, admin } = two;
  const writers = await Promise.all([two.user(), two.user(), two.user(), two.user()]);
  const ledger = await Ledger.open(writers.map((writer, i) => (i % 2 ? writer : at(there, writer))));
  const set = await makeCollection(admin, 'private', `s-${Date.now()}`);
  await pause(3000);
  const died = Date.now();
  await die();
  await comeBack();
  const back = Date.now();
  const serves = async (client: typeof admin) => (await client.post(set.records, { data: {} })).status === 201;
  await Promise.all([admin, at(there, admin)].map((client) => until(() => serves(client), 10)));
  const servingMs = Date.now() - back;
  await pause(1000);
  const settled = Date.now();
  await pause(2000);
  const unkept = await ledger.settle(server);
  expect(unkept).toEqual([]);
  expect(ledger.count((one) => isFailure(one) && one.at + one.ms < died)).toBe(0);
  expect(ledger.count(isFailure, settled)).toBe(0);
  expect(ledger.count(({ status }) => status === 201, settled)).toBeGreaterThan(0);
  expectUnharmed(here.program, there.program);
  return {
    'p99 before': inMs(quantile(ledger.times(0, died), 0.99)),
    'p99 after': inMs(quantile(ledger.times(settled), 0.99)),
    'serving again in': inMs(servingMs),
    acknowledged: ledger.acknowledged,
    refused: ledger.count(isFailure),
  };
}

row(10, 'the postmaster, dead for 2 s', () =>
  survive(
    async () => {
      server.kill();
      await pause(2000);
    },
    () => server.restart(),
  ),
);

row(10, 'one backend, after which PostgreSQL ends all others and recovers', () =>
  survive(
    async () => {
      const [busy] = await server.query<{ pid: number }>(
        `SELECT pid FROM pg_stat_activity WHERE application_name = 'floodgate' AND pid <> pg_backend_pid() LIMIT 1`,
      );
      process.kill(busy?.pid as number, 'SIGKILL');
    },
    () =>
      until(() =>
        server.query('SELECT 1').then(
          () => true,
          () => false,
        ),
      ),
  ),
);
