import { must } from '../support/answers.js';
import { ADMIN } from '../support/app.js';
import { Client } from '../support/client.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { endPrograms, productionSettings, startMain } from '../support/process.js';

export const ANY = { 'if-match': '*' };
/** The password of all users except the admin. */
export const PASSWORD = 'a-password-of-a-user';

/** The app on a new database, with an admin and two users. */
export interface Deployment {
  anyone: Client;
  admin: Client;
  ada: Client;
  bob: Client;
  /** Starts another process of it. */
  start(settings?: Record<string, string>): Promise<Client>;
  database: TestDatabase;
  close(): Promise<void>;
}

export async function deploy(settings: Record<string, string> = {}): Promise<Deployment> {
  const database = await createDatabase();
  const usual = { ADMIN_EMAIL: ADMIN.email, ADMIN_PASSWORD: ADMIN.password, ...settings };
  const start = async (own: Record<string, string> = {}) =>
    new Client(await startMain({ ...productionSettings(database.url), ...usual, ...own }).url());
  const anyone = await start();
  return {
    anyone,
    admin: await anyone.signIn(ADMIN.email, ADMIN.password),
    ada: await signUp(anyone, 'ada'),
    bob: await signUp(anyone, 'bob'),
    start,
    database,
    close: async () => {
      await endPrograms();
      await database.drop();
    },
  };
}

export async function signUp(client: Client, name: string): Promise<Client> {
  const email = `${name}@example.com`;
  must(201, await client.post('/api/v1/auth/register', { email, password: PASSWORD, name }));
  return client.signIn(email, PASSWORD);
}
