import { ADMIN } from './app.js';
import { Client } from './client.js';
import { createDatabase, type TestDatabase } from './database.js';
import { type Forwarder, forward } from './forwarder.js';
import { endPrograms, type Program, productionSettings, startMain } from './process.js';

/** One process of the built app, with a connection to PostgreSQL that a test can cut. */
export interface Alone {
  database: TestDatabase;
  program: Program;
  toDatabase: Forwarder;
  /** A client that is not signed in. */
  anyone: Client;
  /** The first admin, signed in. */
  admin: Client;
  close(): Promise<void>;
}

/** @param given a database, which is dropped with it; by default a new one on the run's server */
export async function startAlone(settings: Record<string, string> = {}, given?: TestDatabase): Promise<Alone> {
  const database = given ?? (await createDatabase());
  const toDatabase = await forward(database.url);
  const program = startMain({
    ...productionSettings(toDatabase.url),
    ADMIN_EMAIL: ADMIN.email,
    ADMIN_PASSWORD: ADMIN.password,
    ...settings,
  });
  const anyone = new Client(await program.url());
  return {
    database,
    program,
    toDatabase,
    anyone,
    admin: await anyone.signIn(ADMIN.email, ADMIN.password),
    close: async () => {
      await endPrograms();
      await toDatabase.close();
      await database.drop();
    },
  };
}
