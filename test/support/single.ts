import { ADMIN } from './app.js';
import { Client } from './client.js';
import { createDatabase, type TestDatabase } from './database.js';
import { newcomers } from './newcomers.js';
import { type Program, productionSettings, startMain } from './process.js';

/** One process of the built app, alone with its database. */
export interface Single {
  program: Program;
  database: TestDatabase;
  url: string;
  /** A client that is not signed in. */
  anyone: Client;
  admin: Client;
  /** Registers and signs in a new user. */
  user(): Promise<Client>;
  /** Expects no unhandled rejection, no internal error, and working answers, which must hold whatever it was sent. */
  expectUnharmed(): Promise<void>;
  close(): Promise<void>;
}

/** @param flags of node; by default those of `npm start` */
export async function startSingle(settings: Record<string, string> = {}, flags?: string[]): Promise<Single> {
  const database = await createDatabase();
  const given = {
    ...productionSettings(database.url),
    ADMIN_EMAIL: ADMIN.email,
    ADMIN_PASSWORD: ADMIN.password,
    ...settings,
  };
  const program = startMain(given, flags);
  const url = await program.url();
  const anyone = new Client(url);
  return {
    program,
    database,
    url,
    anyone,
    admin: await anyone.signIn(ADMIN.email, ADMIN.password),
    user: newcomers(anyone),
    expectUnharmed: async () => {
      const errors = program.stdout.split('\n').filter((line) => /"log.level":"(?:error|fatal)"/.test(line));
      expect({ isRunning: program.isRunning, stderr: program.stderr, errors }).toEqual({
        isRunning: true,
        stderr: '',
        errors: [],
      });
      expect((await anyone.get('/health/ready')).status).toBe(200);
    },
    close: async () => {
      await program.cleanUp();
      await database.drop();
    },
  };
}
