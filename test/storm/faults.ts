import pg from 'pg';
import type { Forwarder } from '../support/forwarder.js';
import { pause } from '../support/process.js';
import { burst, forge, hangUp, loris } from './crowd.js';
import type { House, Replica } from './house.js';
import type { Planned } from './plan.js';

type Scene = Pick<Planned, 'where' | 'degree' | 'forMs'> & {
  house: House;
  /** Waits until Redis has no fault: other processes do not know of the messages of a process that starts without it. */
  untilRedis(): Promise<void>;
};
/** Ends a fault. */
type End = () => unknown;

export interface Fault {
  /** Two faults with the same ground never happen at the same time. */
  ground: 'redis' | 'way to redis' | 'postgres' | 'way to postgres' | 'process' | 'crowd';
  /** Its shortest and longest duration; 0 for a momentary one. */
  lastsMs: [least: number, most: number];
  /** Whether it affects one replica or both; otherwise it affects a thing that exists once. */
  isSomewhere?: true;
  begin(scene: Scene): Promise<End | undefined>;
}

const MOMENT: [number, number] = [0, 0];

export const FAULTS = {
  'Redis is killed': on('redis', [200, 6000], async ({ house: { redis } }) => {
    await redis.kill();
    return () => redis.start();
  }),
  'Redis is frozen': on('redis', [200, 6000], async ({ house: { redis } }) => {
    redis.signal('SIGSTOP');
    return () => redis.signal('SIGCONT');
  }),
  'Redis is emptied': on('redis', MOMENT, async ({ house: { redis } }) => {
    await redis.command('FLUSHALL');
  }),
  'Redis has no memory left': on('redis', [500, 5000], async ({ house: { redis } }) => {
    await redis.command('CONFIG', 'SET', 'maxmemory', '1');
    return () => redis.command('CONFIG', 'SET', 'maxmemory', '0');
  }),

  'Redis is slow': on('way to redis', [500, 5000], slow('toRedis', 1000), true),
  'Redis resets': on(
    'way to redis',
    MOMENT,
    each('toRedis', (way) => way.reset()),
    true,
  ),
  'Redis resets in a reply': on('way to redis', MOMENT, inReply('toRedis', 2000), true),
  'Redis is cut off': on('way to redis', [200, 5000], cut('toRedis'), true),
  'Redis is a black hole': on('way to redis', [200, 5000], hold('toRedis'), true),

  'PostgreSQL is killed': on('postgres', [0, 4000], async ({ house: { postgres } }) => {
    postgres.kill();
    return () => again(() => postgres.restart());
  }),
  'a backend of PostgreSQL is killed': on('postgres', [2000, 2000], async ({ house }) => {
    const [one] = await house.query<{ pid: number }>(
      `SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'floodgate%' ORDER BY state_change DESC LIMIT 1`,
    );
    try {
      if (one) process.kill(one.pid, 'SIGKILL');
    } catch (error) {
      // The backend may have ended meanwhile.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
    // PostgreSQL ends all other backends, too, and then accepts new ones.
    return () => again(() => house.query('SELECT 1'));
  }),
  'all backends are terminated': on('postgres', MOMENT, async ({ house }) => {
    await house.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'floodgate%'`,
    );
  }),
  'all queries are cancelled': on('postgres', MOMENT, async ({ house }) => {
    await house.query(`SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'floodgate%'`);
  }),
  'a table is locked': on('postgres', [200, 4000], locked('LOCK TABLE records IN ACCESS EXCLUSIVE MODE')),
  'rows are locked': on('postgres', [200, 4000], locked('SELECT FROM records ORDER BY id DESC LIMIT 50 FOR UPDATE')),
  'sessions are locked': on('postgres', [200, 4000], locked('LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE')),
  'PostgreSQL only reads': on('postgres', [500, 5000], async ({ house }) => {
    const set = async (value: string) => {
      await house.query(`ALTER SYSTEM SET default_transaction_read_only = ${value}`);
      await house.query('SELECT pg_reload_conf()');
    };
    await set('on');
    return () => set('off');
  }),

  'PostgreSQL is slow': on('way to postgres', [500, 5000], slow('toDatabase', 300), true),
  'PostgreSQL resets': on(
    'way to postgres',
    MOMENT,
    each('toDatabase', (way) => way.reset()),
    true,
  ),
  'PostgreSQL resets in an answer': on('way to postgres', MOMENT, inReply('toDatabase', 20_000), true),
  'PostgreSQL is cut off': on('way to postgres', [200, 5000], cut('toDatabase'), true),
  'PostgreSQL is a black hole': on('way to postgres', [200, 7000], hold('toDatabase'), true),

  'a replica is killed': on(
    'process',
    [0, 3000],
    async ({ house, where, untilRedis }) => {
      const [replica] = at(house, where);
      await replica.end('SIGKILL');
      return () => untilRedis().then(() => replica.start());
    },
    true,
  ),
  'a replica is stopped': on(
    'process',
    [9500, 9500],
    async ({ house, where, untilRedis }) => {
      const [replica] = at(house, where);
      const took = await replica.end('SIGTERM');
      if (took > 9000) replica.flaws.push(`it took ${took} ms to end on SIGTERM`);
      return () => untilRedis().then(() => replica.start());
    },
    true,
  ),
  'a replica is frozen': on(
    'process',
    [200, 3000],
    async ({ house, where }) => {
      const [{ program }] = at(house, where);
      program.signal('SIGSTOP');
      return () => program.signal('SIGCONT');
    },
    true,
  ),

  'a burst over the limit': on('crowd', [3000, 3000], burst, true),
  slowloris: on('crowd', [4000, 8000], loris, true),
  'clients hang up': on('crowd', [1000, 3000], hangUp, true),
  'forged requests': on('crowd', [1000, 1000], forge, true),
} satisfies Record<string, Fault>;

export type FaultName = keyof typeof FAULTS;

function on(
  ground: Fault['ground'],
  lastsMs: Fault['lastsMs'],
  begin: (scene: Scene) => Promise<unknown>,
  isSomewhere?: true,
): Fault {
  return { ground, lastsMs, begin: begin as Fault['begin'], ...(isSomewhere ? { isSomewhere } : {}) };
}

/** The replicas that a fault affects; the first one, for a fault of a single replica. */
export const at = (house: House, where: Planned['where']): [Replica, ...Replica[]] =>
  where === 'both' ? [house.here, house.there] : [house[where]];

type Ways = 'toDatabase' | 'toRedis';

function each(ways: Ways, work: (way: Forwarder, scene: Scene) => unknown) {
  return async (scene: Scene) => {
    await Promise.all(at(scene.house, scene.where).map((replica) => work(replica[ways], scene)));
  };
}

function slow(ways: Ways, mostMs: number) {
  return async (scene: Scene) => {
    await each(ways, (way) => way.slow(mostMs * scene.degree, 20))(scene);
    return () => each(ways, (way) => way.slow(0))(scene);
  };
}

function inReply(ways: Ways, mostBytes: number) {
  return each(ways, (way, { degree }) => way.cutAfter(Math.round(mostBytes * degree)));
}

function cut(ways: Ways) {
  return async (scene: Scene) => {
    await each(ways, (way) => way.cut())(scene);
    return () => each(ways, (way) => way.mend())(scene);
  };
}

function hold(ways: Ways) {
  return async (scene: Scene) => {
    await each(ways, (way) => way.hold(scene.degree < 0.5 ? 'everything' : 'answers'))(scene);
    return () => each(ways, (way) => way.release())(scene);
  };
}

function locked(statement: string) {
  return async ({ house }: Scene) => {
    const client = new pg.Client({ connectionString: house.postgres.url });
    await client.connect();
    await client.query(`BEGIN; ${statement}`);
    return () => client.end();
  };
}

/** Repeats the work until it succeeds: a killed process frees its shared memory a moment later. */
async function again(work: () => Promise<unknown>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return void (await work());
    } catch (error) {
      if (tries === 50) throw error;
      await pause(200);
    }
  }
}

/** Runs the planned faults on a house. @returns when all are over */
export async function storm(house: House, planned: Planned[]): Promise<void> {
  // Mending may take a while: the next fault with the same ground waits for it.
  const grounds = new Map<string, Promise<void>>();
  const struck = new Set<string>();
  const untilRedis = async () => {
    while (struck.has('redis') || struck.has('way to redis')) await pause(50);
  };
  const strike = async ({ at: when, fault, ...scene }: Planned) => {
    const { ground, begin }: Fault = FAULTS[fault];
    const before = grounds.get(ground);
    const run = async () => {
      await Promise.all([pause(when), before]);
      const begun = Date.now();
      struck.add(ground);
      const end = await begin({ ...scene, house, untilRedis });
      await pause(Math.max(0, scene.forMs - (Date.now() - begun)));
      await end?.();
      struck.delete(ground);
    };
    const running = run();
    grounds.set(ground, running);
    return running;
  };
  await Promise.all(planned.map(strike));
}
