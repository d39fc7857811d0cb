import { Client } from '../support/client.js';
import { freshName, must } from '../support/collections.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { ENDINGS } from '../support/endings.js';
import { endPrograms, pause, productionSettings, startMain } from '../support/process.js';

const ADMIN = { email: 'admin@example.com', password: 'first-admin-of-the-tests' };

let database: TestDatabase;
let urls: string[];
beforeAll(async () => {
  database = await createDatabase();
  const settings = { ...productionSettings(database.url), ADMIN_EMAIL: ADMIN.email, ADMIN_PASSWORD: ADMIN.password };
  urls = await Promise.all([startMain(settings).url(), startMain(settings).url()]);
});
afterAll(async () => {
  await endPrograms();
  await database?.drop();
});

/** The same caller, at another process of the app. */
const at = (url: string, { tokens, userId }: Client) => new Client(url, tokens, userId);

/** This route refuses a bad token before it reads anything. */
const READ = '/api/v1/data';

let users = 0;
async function newUser(url: string): Promise<Client> {
  const credentials = { email: `user${++users}@example.com`, password: 'a-password-of-a-user' };
  must(201, await new Client(url).post('/api/v1/auth/register', { ...credentials, name: 'U' }));
  return new Client(url).signIn(credentials.email, credentials.password);
}

describe.each([
  [0, 1],
  [1, 0],
])('a user who, at process %i,', (here, there) => {
  it.each(ENDINGS)(
    '%s loses access at the other one within 5 s, and their refresh token fails at once',
    async (_name, end) => {
      const [url, other] = [urls[here] as string, urls[there] as string];
      const user = at(other, await newUser(url));
      const admin = await new Client(url).signIn(ADMIN.email, ADMIN.password);
      // The other process has just checked the session, and has it cached.
      must(200, await user.get(READ));
      await end(admin, user, database);
      const ended = Date.now();
      const refreshed = await user.post('/api/v1/auth/refresh', { refreshToken: user.tokens?.refreshToken });
      expect(refreshed.status).toBe(401);
      // Until then, a request succeeds or is refused, and nothing breaks.
      const made = await user.put(`/api/v1/data/${freshName()}`, { visibility: 'private' });
      expect([201, 401]).toContain(made.status);
      while ((await user.get(READ)).status === 200 && Date.now() < ended + 10_000) await pause(50);
      expect(Date.now() - ended).toBeLessThan(5000);
      for (let i = 0; i < 5; i++) expect((await user.get(READ)).status).toBe(401);
    },
  );
});
