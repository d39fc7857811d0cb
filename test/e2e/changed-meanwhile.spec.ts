import pg from 'pg';
import { startApp, type TestApp } from '../support/app.js';
import { Client } from '../support/client.js';
import { etagOf, makeCollection, makeRecord, must, until } from '../support/collections.js';
import { pause } from '../support/process.js';

const LOCK = 7;

let app: TestApp;
beforeAll(async () => {
  app = await startApp({ SESSION_CHECK_MS: '5000', CACHE_TTL_MS: '600000' });
  // A plain SELECT has taken its snapshot, and then waits for the lock until it returns its rows; one that locks rows does not wait.
  await app.database.query(`
    CREATE FUNCTION wait_when_read() RETURNS boolean LANGUAGE plpgsql AS $$
      BEGIN
        IF current_query() ~ '^\\s*SELECT' AND current_query() !~ ' FOR ' AND pg_current_xact_id_if_assigned() IS NULL THEN
          PERFORM pg_advisory_xact_lock_shared(${LOCK});
        END IF;
        RETURN true;
      END $$`);
  for (const table of ['users', 'collections', 'records']) {
    await app.database.query(`ALTER TABLE ${table} RENAME TO ${table}_stored`);
    await app.database.query(`CREATE VIEW ${table} AS SELECT * FROM ${table}_stored WHERE wait_when_read()`);
  }
});
afterAll(() => app?.close());

/** Makes a change while a read is under way. @returns the result of that read, and of one that began after the change */
async function around<T>(read: () => Promise<T>, change: () => Promise<unknown>): Promise<[before: T, behind: T]> {
  const holder = new pg.Client({ connectionString: app.database.url });
  await holder.connect();
  try {
    await holder.query(`SELECT pg_advisory_lock(${LOCK})`);
    const before = read();
    const waiting = `SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`;
    await until(async () => (await app.database.query(waiting)).length > 0);
    await change();
    const behind = read();
    await pause(200);
    await holder.query(`SELECT pg_advisory_unlock(${LOCK})`);
    return [await before, await behind];
  } finally {
    await holder.end();
  }
}

const status = async (client: Client, path = '/api/v1/data') => (await client.get(path)).status;

let users = 0;
/** A user who is not cached yet. */
async function register() {
  const credentials = { email: `newcomer${++users}@example.com`, password: 'a-password-of-a-user' };
  const { body } = must(201, await app.client.post('/api/v1/auth/register', { ...credentials, name: 'Old' }));
  return { credentials, id: body.id as string, etag: `"1-${Date.parse(body.createdAt).toString(16)}"` };
}

/** Such a user, with a session. */
async function signIn() {
  const { credentials, id, etag } = await register();
  const tokens = must(200, await app.client.post('/api/v1/auth/login', credentials)).body;
  return { user: new Client(app.url, tokens, id), etag };
}

it('gives the new state of a user to reads that begin after a change, even when an older read was under way', async () => {
  const { id, etag } = await register();
  const path = `/api/v1/users/${id}`;
  const name = async () => must(200, await app.admin.get(path)).body.name;
  const ifMatch = { 'if-match': etag };
  const change = async () => must(200, await app.admin.patch(path, { name: 'New' }, ifMatch));
  expect(await around(name, change)).toEqual(['Old', 'New']);
  expect(await name()).toBe('New');
});

it('gives no deleted user to reads that begin after the deletion, even when an older read was under way', async () => {
  const { id, etag } = await register();
  const path = `/api/v1/users/${id}`;
  const read = () => status(app.admin, path);
  const remove = async () => must(204, await app.admin.delete(path, { 'if-match': etag }));
  expect(await around(read, remove)).toEqual([200, 404]);
  expect(await read()).toBe(404);
});

it.each<[string, (user: Client, etag: string) => Promise<unknown>]>([
  [
    'disabled',
    async ({ userId }, etag) =>
      must(200, await app.admin.patch(`/api/v1/users/${userId}`, { disabled: true }, { 'if-match': etag })),
  ],
  [
    'deleted',
    async ({ userId }, etag) => must(204, await app.admin.delete(`/api/v1/users/${userId}`, { 'if-match': etag })),
  ],
  [
    'signed out',
    async ({ tokens }) =>
      must(204, await app.client.post('/api/v1/auth/logout', { refreshToken: tokens?.refreshToken })),
  ],
])('refuses a user who is %s while the session is being looked up', async (_what, end) => {
  const { user, etag } = await signIn();
  expect(
    await around(
      () => status(user),
      () => end(user, etag),
    ),
  ).toEqual([401, 401]);
  expect(await status(user)).toBe(401);
});

it.each([
  ['a collection', false],
  ['the records of a collection', true],
])(
  'does not show %s to strangers after it was made private, even when an older read was under way',
  async (_what, isKept) => {
    const owner = await app.user();
    const set = await makeCollection(owner);
    const { path } = await makeRecord(owner, set);
    // The change drops the cached collection, and nothing loads it again yet.
    const changed = await owner.put(set.path, { visibility: 'public' }, { 'if-match': set.etag });
    if (isKept) must(200, await owner.get(set.path));
    const read = () => Promise.all([set.path, path, set.records].map((one) => status(app.client, one)));
    const close = async () =>
      must(200, await owner.put(set.path, { visibility: 'private' }, { 'if-match': etagOf(changed) }));
    const [, behind] = await around(read, close);
    expect(behind).toEqual([404, 404, 404]);
    expect(await read()).toEqual([404, 404, 404]);
  },
);

it('gives the new state of a record to reads that begin after a change, even when an older read was under way', async () => {
  const owner = await app.user();
  const { path, etag } = await makeRecord(owner, await makeCollection(owner), { n: 1 });
  const read = async () => must(200, await app.client.get(path)).body.data.n;
  const change = async () => must(200, await owner.put(path, { data: { n: 2 } }, { 'if-match': etag }));
  const [, behind] = await around(read, change);
  expect(behind).toBe(2);
  expect(await read()).toBe(2);
});
