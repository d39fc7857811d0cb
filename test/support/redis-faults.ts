import { Ledger, type Outcome } from './ledger.js';
import { expectUnharmed, pause } from './process.js';
import { at, type Replica, type Replicas } from './replicas.js';
import { type Figures, inMs, quantile } from './row.js';

/** The length of each stretch of load: one without the fault, and one with it. */
const STRETCH_MS = 3000;
/** A process uses a recovered Redis again within this time. */
const BACK_MS = 5000;
/** Instead of the promised 100 ms, because machines are noisy. */
const RISE_MS = 1000;

/** A fault of Redis or of the connections to it. */
export interface RedisFault {
  begin(): unknown;
  end(): unknown;
  /** Checks during the fault. */
  meanwhile?(): Promise<unknown>;
  /** Within this, each process shows what was acknowledged by the other one; any time, if left out. */
  boundMs?: number;
}

/** The state of Redis in the readiness and the metrics of a process. */
export async function redisState({ anyone }: Pick<Replica, 'anyone'>): Promise<unknown[]> {
  const { status, body } = await anyone.get('/health/ready');
  const up = /^redis_up (\S+)$/m.exec((await anyone.get('/metrics')).text)?.[1];
  return [status, body.status, body.checks.redis.status, up];
}

export const WELL = [200, 'ok', 'up', '1'];
export const WITHOUT = [200, 'degraded', 'down', '0'];

/** Waits until a process reports this state of Redis. @returns the time in milliseconds */
export async function untilRedis(is: unknown[], replica: Pick<Replica, 'anyone'>, mostMs = BACK_MS): Promise<number> {
  const begun = Date.now();
  for (let said: unknown[]; ; await pause(20)) {
    said = await redisState(replica);
    if (String(said) === String(is)) return Date.now() - begun;
    if (Date.now() - begun > mostMs) throw new Error(`after ${mostMs} ms it says ${said}, and not ${is}`);
  }
}

/**
 * Puts load on both processes, as long without the fault as with it, and until both use Redis again. Nothing may fail, no
 * acknowledged write may be lost, no answer may be wrong, and no process may print an error or end.
 */
export async function survive(two: Replicas, { begin, end, meanwhile, boundMs }: RedisFault): Promise<Figures> {
  const programs = [two.here.program, two.there.program];
  const writers = await Promise.all([two.user(), two.user(), two.user(), two.user()]);
  const both = writers.map((writer, i) => (i % 2 ? writer : at(two.there, writer)));
  const ledger = await Ledger.open(both, boundMs === undefined ? {} : { boundMs });
  // Warm up.
  await pause(1000);
  const from = Date.now();
  await pause(STRETCH_MS);
  const begun = Date.now();
  await begin();
  await Promise.all([pause(STRETCH_MS), meanwhile?.()]);
  const to = Date.now();
  await end();
  const back = Math.max(...(await Promise.all([two.here, two.there].map((one) => untilRedis(WELL, one)))));
  await pause(1000);
  expect(await ledger.settle(two.database)).toEqual([]);
  expect(ledger.outcomes.filter(isFailure)).toEqual([]);
  expectUnharmed(...programs);
  const [without, during] = [ledger.times(from, begun), ledger.times(begun, to)];
  const rise = quantile(during, 0.99) - quantile(without, 0.99);
  expect(rise).toBeLessThan(RISE_MS);
  return {
    'p99 without': inMs(quantile(without, 0.99)),
    'p99 with': inMs(quantile(during, 0.99)),
    'p99 rises by': inMs(Math.max(0, rise)),
    'slowest with': inMs(Math.max(...during)),
    'back in': inMs(back),
    answers: during.length,
    acknowledged: ledger.acknowledged,
  };
}

const isFailure = ({ status }: Outcome) => status === 0 || status >= 500;
