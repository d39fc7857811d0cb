import { type App, createApp } from '../../src/app.js';
import type { Added } from '../../src/app.module.js';
import { loadConfig } from '../../src/config.js';
import { Client } from './client.js';
import { createDatabase, type TestDatabase } from './database.js';
import { UNLIMITED } from './process.js';

/** A running app with signed-in clients, whose every answer is also checked against openapi.json. */
export interface TestApp {
  url: string;
  /** For data that no client sees: `query(sql, values)` returns the rows. */
  database: TestDatabase;
  /** Nest's application, from which a test gets a module's providers. */
  nest: App['nest'];
  /** A client that is not signed in. */
  client: Client;
  /** The first admin, signed in. */
  admin: Client;
  /** Registers and signs in a new user, `${name}@example.com`. */
  user(name?: string): Promise<Client>;
  close(): Promise<void>;
}

export const ADMIN = { email: 'admin@example.com', password: 'first-admin-of-the-tests' };

/** Long enough that a busy machine only makes tests slower. */
const PATIENT = {
  ADMISSION_WAIT_MS: '20000',
  DATABASE_ACQUIRE_TIMEOUT_MS: '20000',
  DATABASE_LOCK_TIMEOUT_MS: '20000',
};

/** The settings that tests start from: all secrets, no log, and limits that no test reaches. */
export const testEnvironment = (databaseUrl: string): Record<string, string> => ({
  NODE_ENV: 'test',
  PORT: '0',
  LOG_LEVEL: 'silent',
  DATABASE_URL: databaseUrl,
  APP_SECRET: 'a secret of the tests that is long enough',
  ADMIN_EMAIL: ADMIN.email,
  ADMIN_PASSWORD: ADMIN.password,
  ...UNLIMITED,
  ...PATIENT,
});

/**
 * Starts the same app as production, on a free port and an empty database of its own. A module's spec of its HTTP behaviour
 * lies beside it, say in `src/orders/orders.e2e.spec.ts`:
 *
 * ```ts
 * import { must } from '../../test/support/answers.js';
 * import { startApp, type TestApp } from '../../test/support/app.js';
 *
 * let app: TestApp;
 * beforeAll(async () => {
 *   app = await startApp();
 * });
 * afterAll(() => app.close());
 *
 * it('shows an order to its owner and to admins', async () => {
 *   const [ada, bob] = [await app.user(), await app.user()];
 *   const made = must(201, await ada.post('/api/v1/orders', { note: 'At the door', total: '12.50' }));
 *   const path = `/api/v1/orders/${made.body.id}`;
 *   for (const who of [ada, app.admin]) expect(must(200, await who.get(path)).body).toEqual(made.body);
 *   must(404, await bob.get(path));
 * });
 * ```
 *
 * General rules of routes (permissions, statuses, headers, the same answers at the edge and in the pipeline) are tested once
 * `src/orders/orders.contract.ts` exists: see contract.ts.
 *
 * @param settings added to testEnvironment's or replacing them, by variable: `{ RATE_LIMIT_REQUESTS: '2' }`
 * @param added modules that are not built in
 * @throws StartError when the app cannot start
 */
export async function startApp(settings: Record<string, string> = {}, added?: Added): Promise<TestApp> {
  const database = await createDatabase();
  const config = loadConfig({ ...testEnvironment(database.url), ...settings });
  const app = await createApp(config, undefined, added).catch(async (error) => {
    await database.drop();
    throw error;
  });
  const close = async () => {
    await app.stop();
    await database.drop();
  };
  try {
    const client = new Client(await app.listen());
    return { ...(await asTested(client)), database, nest: app.nest, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function asTested(client: Client): Promise<Pick<TestApp, 'url' | 'client' | 'admin' | 'user'>> {
  let users = 0;
  return {
    url: client.url,
    client,
    admin: await client.signIn(ADMIN.email, ADMIN.password),
    user: async (name = `user${++users}`) => {
      const credentials = { email: `${name}@example.com`, password: `password-of-${name}` };
      await client.post('/api/v1/auth/register', { ...credentials, name }).then(expectStatus(201));
      return client.signIn(credentials.email, credentials.password);
    },
  };
}

const expectStatus =
  (status: number) =>
  <T extends { status: number; text: string }>(response: T): T => {
    if (response.status !== status) throw new Error(`expected ${status}, got ${response.status}: ${response.text}`);
    return response;
  };
