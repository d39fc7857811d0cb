import { startApp, type TestApp } from '../support/app.js';
import { freshName, must } from '../support/collections.js';
import { expectProblem } from '../support/problem.js';

let app: TestApp;
beforeAll(async () => {
  app = await startApp({ SESSION_CHECK_MS: '5000' });
  // No answer can be made of this time, which is noticed only when the row has been written.
  await app.database.query(`CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN NEW.created_at := 'infinity'; RETURN NEW; END $$`);
});
afterAll(() => app?.close());

/** The number of rows that stay in a table when no answer could be made of them. */
async function whileSpoilt(table: string, work: () => Promise<void>): Promise<number> {
  const { query } = app.database;
  await query(`CREATE TRIGGER spoil BEFORE INSERT ON ${table} FOR EACH ROW EXECUTE FUNCTION spoil()`);
  await work();
  await query(`DROP TRIGGER spoil ON ${table}`);
  return (await query(`SELECT FROM ${table} WHERE created_at = 'infinity'`)).length;
}

it('stores no user for whom it could not answer', async () => {
  const credentials = { email: 'late@example.com', password: 'a-password-of-a-user', name: 'Late' };
  const stored = await whileSpoilt('users', async () =>
    expectProblem(await app.client.post('/api/v1/auth/register', credentials), 'internal-error'),
  );
  expect(stored).toBe(0);
  must(201, await app.client.post('/api/v1/auth/register', credentials));
});

it('stores no collection for which it could not answer', async () => {
  const path = `/api/v1/data/${freshName()}`;
  const stored = await whileSpoilt('collections', async () =>
    expectProblem(await app.admin.put(path, { visibility: 'public' }), 'internal-error'),
  );
  expect(stored).toBe(0);
  must(201, await app.admin.put(path, { visibility: 'public' }));
});

it('refuses a session on this replica as soon as it has ended', async () => {
  const user = await app.user();
  must(200, await user.get('/api/v1/users/me'));
  must(204, await app.client.post('/api/v1/auth/logout', { refreshToken: user.tokens?.refreshToken }));
  must(401, await user.get('/api/v1/users/me'));
});
