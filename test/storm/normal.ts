import type { Load } from '../support/load.js';
import { pause } from '../support/process.js';
import { quantile } from '../support/row.js';
import type { House, Replica } from './house.js';

/** Everything must be back to normal within this time. */
const NORMAL_WITHIN_MS = 15_000;
/** The period of answers that is checked. */
const WINDOW_MS = 2000;
/** The most connections to PostgreSQL that a replica keeps: pool, short reads, streams, jobs and probe. */
const CONNECTIONS = 10 + 2 + 2 + 2 + 1;
/**
 * The descriptors that a replica may have in addition to those after its start: its connections, those that the client of up to 50
 * followers keeps open for a next request, and some short-lived ones.
 */
const DESCRIPTORS = CONNECTIONS + 50 + 10;

/** Waits until nothing is found any more. @returns the time, and a sentence for each remaining finding */
async function untilNone(work: () => Promise<string[]>): Promise<{ tookMs: number; found: string[] }> {
  const begun = Date.now();
  for (;;) {
    const found = await work().catch((error: Error) => [String(error)]);
    const tookMs = Date.now() - begun;
    if (found.length === 0 || tookMs > NORMAL_WITHIN_MS) return { tookMs, found };
    await pause(200);
  }
}

/** After the last fault, under load: ready, with Redis, no failures, and latencies as before. */
export const untilNormal = (house: House, load: Load, p99Before: number) =>
  untilNone(async () => {
    const since = Date.now() - WINDOW_MS;
    const failed = load.count(({ status }) => status === 0 || status >= 500, since);
    const p99 = quantile(load.times(since), 0.99);
    const states = await Promise.all(house.replicas.map(stateOf));
    return [
      ...states.flat(),
      ...(failed > 0 ? [`${failed} requests fail`] : []),
      ...(p99 < 3 * p99Before + 200 ? [] : [`p99 is ${p99} ms and was ${p99Before} ms`]),
    ];
  });

async function stateOf(replica: Replica): Promise<string[]> {
  const response = await fetch(`${replica.url}/health/ready`);
  const text = await response.text();
  const isUp = (await replica.figure('redis_up')) === 1;
  return [
    ...(response.status === 200 && JSON.parse(text).status === 'ok' ? [] : [`ready: ${response.status} ${text}`]),
    ...(isUp ? [] : ['redis_up is 0']),
  ];
}

/** After the load: all resources are free. @param descriptors of each replica after its start */
export const untilLetGo = (house: House, descriptors: number) =>
  untilNone(async () => {
    const found: string[] = [];
    for (const replica of house.replicas) {
      for (const name of [
        'admission_in_flight',
        'admission_queued',
        'db_client_connection_pending_requests',
        'resources_in_use',
      ])
        if ((await replica.figure(name)) !== 0) found.push(`${name} of ${replica.url} is not 0`);
      const open = replica.descriptors;
      if (open > descriptors + DESCRIPTORS)
        found.push(`${replica.url} has ${open} descriptors, and had ${descriptors}`);
    }
    const [{ all, idle, active }] = (await house.query<Record<'all' | 'idle' | 'active', number>>(
      `SELECT count(*)::int AS all, count(*) FILTER (WHERE state LIKE 'idle in transaction%')::int AS idle,
              count(*) FILTER (WHERE state = 'active')::int AS active
       FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`,
    )) as [Record<'all' | 'idle' | 'active', number>];
    if (idle > 0) found.push(`${idle} transactions are left open`);
    if (active > 0) found.push(`${active} statements run`);
    if (all > 2 * CONNECTIONS) found.push(`there are ${all} connections to PostgreSQL`);
    const clients = (await house.redis.command('CLIENT', 'LIST')).trim().split('\n').length - 1;
    if (clients !== 4) found.push(`there are ${clients} connections to Redis`);
    return found;
  });
