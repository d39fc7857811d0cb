import { startApp, type TestApp } from '../support/app.js';
import { freshName, must } from '../support/collections.js';
import { expectProblem } from '../support/problem.js';

let app: TestApp;
beforeAll(async () => {
  app = await startApp({ SESSION_CHECK_MS: '5000' });
  // A moment that no answer can be made of: it is found out when the row is there.
  await app.database.query(`CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN NEW.created_at := 'infinity'; RETURN NEW; END $$`);
});
afterAll(() => app?.close());

/** What stays of a table's rows that were written while no answer could be made of them. */
async function whileSpoilt(table: string, work: () => Promise<void>): Promise<number> {
  const { query } = app.database;
  await query(`CREATE TRIGGER spoil BEFORE INSERT ON ${table} FOR EACH ROW EXECUTE FUNCTION spoil()`);
  await work();
  await query(`DROP TRIGGER spoil ON ${table}`);
  return (await query(`SELECT FROM ${table} WHERE created_at = 'infinity'`)).length;
}

it('stores no user of whom it cannot tell', async () => {
  const credentials = { email: 'late@example.com', password: 'a-password-of-a-user', name: 'Late' };
  const stored = await whileSpoilt('users', async () =>
    expectProblem(await app.client.post('/api/v1/auth/register', credentials), 'internal-error'),
  );
  expect(stored).toBe(0);
  must(201, await app.client.post('/api/v1/auth/register', credentials));
});

it('stores no collection of which it cannot tell', async () => {
  const path = `/api/v1/data/${freshName()}`;
  const stored = await whileSpoilt('collections', async () =>
    expectProblem(await app.admin.put(path, { visibility: 'public' }), 'internal-error'),
  );
  expect(stored).toBe(0);
  must(201, await app.admin.put(path, { visibility: 'public' }));
});

it('knows at once here of a session that was ended', async () => {
  const user = await app.user();
  must(200, await user.get('/api/v1/users/me'));
  must(204, await app.client.post('/api/v1/auth/logout', { refreshToken: user.tokens?.refreshToken }));
  must(401, await user.get('/api/v1/users/me'));
});
