import { ADMIN } from './app.js';
import { Client } from './client.js';
import { createDatabase, type TestDatabase } from './database.js';
import { type Forwarder, forward } from './forwarder.js';
import { newcomers } from './newcomers.js';
import { endPrograms, type Program, pause, productionSettings, startMain } from './process.js';
import { TestRedis } from './redis.js';

/** One of two processes of the built app, with connections to PostgreSQL and Redis that a test can cut. */
export interface Replica {
  program: Program;
  toDatabase: Forwarder;
  toRedis: Forwarder;
  /** A client that is not signed in. */
  anyone: Client;
}

export interface Replicas<Of extends TestDatabase = TestDatabase> {
  database: Of;
  redis: TestRedis;
  /** The replica where changes are made, and the one where they must be seen. */
  here: Replica;
  there: Replica;
  /** The first admin, signed in here. */
  admin: Client;
  /** Registers and signs in a new user here. */
  user(): Promise<Client>;
  close(): Promise<void>;
}

/**
 * Two processes with one PostgreSQL and one Redis, which have heard each other.
 * @param given a database, which is dropped with them; by default a new one on the run's server
 */
export async function startReplicas<Of extends TestDatabase = TestDatabase>(
  settings: Record<string, string> = {},
  given?: Of,
): Promise<Replicas<Of>> {
  const database = given ?? ((await createDatabase()) as Of);
  const redis = await TestRedis.start();
  const start = async (): Promise<Replica> => {
    const toDatabase = await forward(database.url);
    const toRedis = await forward(redis.url);
    const program = startMain({
      ...productionSettings(toDatabase.url),
      REDIS_URL: toRedis.url,
      ADMIN_EMAIL: ADMIN.email,
      ADMIN_PASSWORD: ADMIN.password,
      SESSION_CHECK_MS: '0',
      ...settings,
    });
    return { program, toDatabase, toRedis, anyone: new Client(await program.url()) };
  };
  const here = await start();
  const there = await start();
  await untilHeard();
  return {
    database,
    redis,
    here,
    there,
    admin: await here.anyone.signIn(ADMIN.email, ADMIN.password),
    user: newcomers(here.anyone),
    close: async () => {
      await endPrograms();
      for (const { toDatabase, toRedis } of [here, there]) await Promise.all([toDatabase.close(), toRedis.close()]);
      await redis.kill();
      await database.drop();
    },
  };
}

/** Waits for some heartbeats, after which each process has heard the other one. */
export const untilHeard = () => pause(1500);

/** The number of times that a process did not hear the others: because Redis failed, or because a process was blocked. */
const timesUnheard = ({ here, there }: Replicas) =>
  (here.program.stdout + there.program.stdout).split('A replica sends no heartbeat').length - 1;

/**
 * For tests that need a trusted cache: repeats the work when it fails while a process does not hear the others, as happens on
 * an overloaded machine. Three tries at most.
 */
export async function whileHeard<T>(two: Replicas, work: () => Promise<T>): Promise<T> {
  for (let left = 2; ; left--) {
    const before = timesUnheard(two);
    try {
      return await work();
    } catch (error) {
      if (left === 0 || timesUnheard(two) === before) throw error;
      await untilHeard();
    }
  }
}

/** The same caller at another process of the app. */
export const at = ({ anyone }: Replica, { tokens, userId }: Client) => new Client(anyone.url, tokens, userId);
