import { type Alone, startAlone } from '../support/alone.js';
import { makeCollection, must, until } from '../support/collections.js';
import type { TestDatabase } from '../support/database.js';
import { Ledger, type Outcome } from '../support/ledger.js';
import { newcomers } from '../support/newcomers.js';
import { expectUnharmed, pause } from '../support/process.js';
import { inMs, row } from '../support/row.js';
import { type Pair, startPair, type TestServer } from '../support/standby.js';

const RECOVERY_MS = 10_000;
const isRead = ({ what }: Outcome) => what.startsWith('GET');
const isDone = ({ status }: Outcome) => status > 0 && status < 400;

let pair: Pair;
let app: Alone;
beforeAll(async () => {
  pair = await startPair();
  app = await startAlone({ SESSION_CHECK_MS: '5000' }, lent(pair.primary));
}, 60_000);
afterAll(async () => {
  await app?.close();
  await pair?.close();
});

/** The server's database, which is not dropped with the app. */
const lent = ({ url }: TestServer): TestDatabase => ({
  url,
  query: () => Promise.reject(new Error('ask one of the pair')),
  drop: async () => {},
});

row(
  50,
  '',
  async () => {
    const { primary, standby } = pair;
    const { admin, anyone, program, toDatabase } = app;
    // Nothing is acknowledged before the standby has it.
    await primary.query(`ALTER SYSTEM SET synchronous_standby_names = '*'`);
    await primary.query('SELECT pg_reload_conf()');
    const set = await makeCollection(admin, 'public', 'kept');
    const ledger = await Ledger.open(await Promise.all(Array.from({ length: 4 }, newcomers(anyone))));
    await pause(2000);
    const ready = async () => (await anyone.get('/health/ready')).body;

    // The old primary becomes a standby of the new one; the name still leads to it, and it answers reads.
    await primary.stop();
    await standby.query('SELECT pg_promote()');
    await primary.follow(standby);
    await until(async () => (await ready()).checks.postgresql.message === 'takes no writes');
    expect(await ready()).toMatchObject({ status: 'degraded' });
    must(200, await admin.get('/api/v1/users/me'));
    expect((await admin.post(set.records, { data: {} })).status).toBe(503);
    await pause(2000);

    // The name now leads to the new primary; the old one stays up, and so do the connections to it.
    const moved = Date.now();
    toDatabase.leadTo(standby.url);
    await until(async () => (await admin.post(set.records, { data: {} })).status === 201, 10);
    const writing = Date.now();
    expect(writing - moved).toBeLessThan(RECOVERY_MS);
    await until(async () => (await ready()).status === 'ok');
    await pause(2000);
    // Reads go to the new primary as well: no connection to the old one is left.
    expect(await primary.query(`SELECT FROM pg_stat_activity WHERE application_name = 'floodgate'`)).toEqual([]);
    expect(await ledger.settle(standby)).toEqual([]);
    expect(ledger.count((one) => !isDone(one) && !isRead(one) && one.at > writing + 2000)).toBe(0);
    expectUnharmed(program);
    return {
      'writing again in': inMs(writing - moved),
      'refused meanwhile': ledger.count((one) => !isDone(one)),
      acknowledged: ledger.acknowledged,
    };
  },
  90_000,
);
