import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { createApp } from '../../src/app.js';
import { loadConfig } from '../../src/config.js';
import { ADMIN, startApp, type TestApp, testEnvironment } from '../support/app.js';
import { Client } from '../support/client.js';
import { createDatabase, type TestDatabase } from '../support/database.js';

const SESSION_CHECK_MS = 50;

let app: TestApp;
beforeAll(async () => {
  app = await startApp({ SESSION_CHECK_MS: String(SESSION_CHECK_MS) });
});
afterAll(() => app?.close());

const pathOf = ({ userId }: Client) => `/api/v1/users/${userId}`;
const etagOf = async (user: Client) => (await app.admin.get(pathOf(user))).headers.get('etag') as string;
/** Opens every connection of the pool: a request that waits for one to open comes too late for a race. */
const fillPool = (client: Client) => Promise.all(Array.from({ length: 20 }, () => client.get('/api/v1/users?limit=1')));
const adminsIn = (database: TestDatabase) =>
  database.query<{ email: string }>(`SELECT email FROM users WHERE role = 'admin' AND NOT disabled`);

describe('deleting a user', () => {
  it('answers 428 without If-Match, 412 to a stale tag and 204 to the current one', async () => {
    const user = await app.user();
    const stale = await etagOf(user);
    await user.patch(pathOf(user), { name: 'New' }, { 'if-match': stale });
    expect((await user.delete(pathOf(user))).status).toBe(428);
    expect((await user.delete(pathOf(user), { 'if-match': stale })).status).toBe(412);
    const { status, text } = await user.delete(pathOf(user), { 'if-match': await etagOf(user) });
    expect([status, text]).toEqual([204, '']);
    expect((await app.admin.get(pathOf(user))).status).toBe(404);
    expect((await app.admin.delete(pathOf(user), { 'if-match': '*' })).status).toBe(404);
  });

  it('removes their sessions, collections and records, and frees the address', async () => {
    const user = await app.user('leaver');
    const bystander = await app.user();
    for (const [owner, name] of [
      [user, 'theirs'],
      [bystander, 'another'],
    ] as const) {
      expect((await owner.put(`/api/v1/data/${name}`, { visibility: 'public' })).status).toBe(201);
      expect((await owner.post(`/api/v1/data/${name}/records`, { data: { a: 1 } })).status).toBe(201);
    }
    expect((await app.admin.delete(pathOf(user), { 'if-match': await etagOf(user) })).status).toBe(204);
    const refreshToken = user.tokens?.refreshToken;
    expect((await app.client.post('/api/v1/auth/refresh', { refreshToken })).status).toBe(401);
    for (const path of ['/api/v1/data/theirs', '/api/v1/data/theirs/records'])
      expect([path, (await app.admin.get(path)).status]).toEqual([path, 404]);
    expect((await app.client.get('/api/v1/data/another/records')).body.items).toHaveLength(1);
    await setTimeout(2 * SESSION_CHECK_MS);
    expect((await user.get('/api/v1/users/me')).status).toBe(401);
    const again = await app.user('leaver');
    expect(again.userId).not.toBe(user.userId);
    expect((await again.put('/api/v1/data/theirs', { visibility: 'public' })).status).toBe(201);
    expect((await again.get('/api/v1/data/theirs/records')).body.items).toEqual([]);
  });

  it('succeeds for exactly one of 10 requests at once', async () => {
    const user = await app.user();
    const headers = { 'if-match': await etagOf(user) };
    await fillPool(app.admin);
    const answers = await Promise.all(Array.from({ length: 10 }, () => app.admin.delete(pathOf(user), headers)));
    const statuses = answers.map(({ status }) => status).sort();
    expect(statuses).toEqual([204, ...Array(9).fill(404)]);
  });
});

describe('the last admin', () => {
  it('cannot be demoted, disabled or deleted (409), but changed otherwise', async () => {
    const { admin } = app;
    const headers = { 'if-match': await etagOf(admin) };
    const answers = [
      await admin.patch(pathOf(admin), { role: 'user' }, headers),
      await admin.patch(pathOf(admin), { disabled: true }, headers),
      await admin.delete(pathOf(admin), headers),
    ];
    for (const { status, body } of answers)
      expect([status, body.type]).toEqual([409, 'urn:problem-type:floodgate:conflict']);
    expect((await admin.get('/api/v1/users')).status).toBe(200);
    const same = { name: 'Root', role: 'admin', disabled: false };
    expect((await admin.patch(pathOf(admin), same, headers)).status).toBe(200);
  });

  it('is the only enabled one: a disabled admin does not count', async () => {
    const { admin } = app;
    const other = await app.user();
    for (const body of [{ role: 'admin' }, { disabled: true }])
      expect((await admin.patch(pathOf(other), body, { 'if-match': '*' })).status).toBe(200);
    expect((await admin.patch(pathOf(admin), { role: 'user' }, { 'if-match': '*' })).status).toBe(409);
    expect((await admin.patch(pathOf(other), { role: 'user' }, { 'if-match': '*' })).status).toBe(200);
  });

  it('may be deleted when there is another one', async () => {
    const other = await app.user();
    await app.admin.patch(pathOf(other), { role: 'admin' }, { 'if-match': '*' });
    await setTimeout(2 * SESSION_CHECK_MS);
    expect((await other.delete(pathOf(other), { 'if-match': '*' })).status).toBe(204);
    expect(await adminsIn(app.database)).toEqual([{ email: ADMIN.email }]);
  });

  it.each([
    ['demote', { role: 'user' }, 403],
    ['disable', { disabled: true }, 401],
    ['delete', undefined, 401],
  ])('remains when two %s each other at once', async (_, body, tooLate) => {
    // Both are cached as admins for longer than this takes, so that neither is refused before the race.
    const racing = await startApp({ SESSION_CHECK_MS: '5000' });
    try {
      const { userId } = await racing.user('rival');
      await racing.admin.patch(`/api/v1/users/${userId}`, { role: 'admin' }, { 'if-match': '*' });
      const rival = await racing.client.signIn('rival@example.com', 'password-of-rival');
      const remove = (by: Client, whom: Client) =>
        by.send(body ? 'PATCH' : 'DELETE', pathOf(whom), body, { 'if-match': '*' });
      await fillPool(rival);
      const answers = await Promise.all([remove(racing.admin, rival), remove(rival, racing.admin)]);
      const statuses = answers.map(({ status }) => status).sort();
      expect(statuses).toEqual([body ? 200 : 204, tooLate]);
      expect(await adminsIn(racing.database)).toHaveLength(1);
    } finally {
      await racing.close();
    }
  });

  it('remains when several admins all resign at once', async () => {
    const racing = await startApp({ SESSION_CHECK_MS: '5000' });
    try {
      const leavers = [racing.admin];
      for (let n = 1; n < 5; n++) {
        const { userId } = await racing.user(`leaver${n}`);
        await racing.admin.patch(`/api/v1/users/${userId}`, { role: 'admin' }, { 'if-match': '*' });
        leavers.push(await racing.client.signIn(`leaver${n}@example.com`, `password-of-leaver${n}`));
      }
      await fillPool(racing.admin);
      const leave = (one: Client, n: number) =>
        n % 2 === 0
          ? one.delete(pathOf(one), { 'if-match': '*' })
          : one.patch(pathOf(one), { role: 'user' }, { 'if-match': '*' });
      const statuses = (await Promise.all(leavers.map(leave))).map(({ status }) => status);
      expect(statuses.filter((status) => status === 409)).toHaveLength(1);
      expect(statuses.filter((status) => status < 300)).toHaveLength(4);
      expect(await adminsIn(racing.database)).toHaveLength(1);
    } finally {
      await racing.close();
    }
  });
});

describe('the first admin', () => {
  let database: TestDatabase;
  beforeEach(async () => {
    database = await createDatabase();
  });
  afterEach(() => database?.drop());

  /** Starts an app on the database, and stops it when the work is done. */
  async function run(
    settings: Record<string, string>,
    work: (client: Client) => Promise<void> = async () => {},
  ): Promise<void> {
    const started = await createApp(loadConfig({ ...testEnvironment(database.url), ...settings }));
    try {
      await work(new Client(await started.listen()));
    } finally {
      await started.stop();
    }
  }

  it('is made from ADMIN_EMAIL and ADMIN_PASSWORD at the first start only', async () => {
    await run({}, async (client) => {
      const admin = await client.signIn(ADMIN.email, ADMIN.password);
      expect((await admin.get('/api/v1/users/me')).body).toMatchObject({ email: ADMIN.email, role: 'admin' });
    });
    await run({ ADMIN_EMAIL: 'second@example.com', ADMIN_PASSWORD: 'second-admins-password' });
    await run({ ADMIN_PASSWORD: 'another-password-later' }, async (client) => {
      await client.signIn(ADMIN.email, ADMIN.password);
    });
    expect(await adminsIn(database)).toEqual([{ email: ADMIN.email }]);
  });

  it('has the password of ADMIN_PASSWORD in any Unicode form', async () => {
    const password = 'ﬁrst pässwörd ９';
    await run({ ADMIN_PASSWORD: password.normalize('NFD') }, async (client) => {
      for (const form of ['NFC', 'NFD', 'NFKC']) await client.signIn(ADMIN.email, password.normalize(form));
    });
  });

  it('is made once by two replicas that start at the same time', async () => {
    await run({ ADMIN_EMAIL: '', ADMIN_PASSWORD: '' });
    expect(await adminsIn(database)).toEqual([]);
    await Promise.all([run({}), run({})]);
    expect(await adminsIn(database)).toEqual([{ email: ADMIN.email }]);
  });

  it('takes its password from the file of ADMIN_PASSWORD_FILE', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'first-admin-'));
    const file = join(folder, 'password');
    await writeFile(file, 'password-of-the-file\n');
    try {
      await run({ ADMIN_PASSWORD: '', ADMIN_PASSWORD_FILE: file }, async (client) => {
        await client.signIn(ADMIN.email, 'password-of-the-file');
      });
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('is never a user who registered that address before', async () => {
    await run({ ADMIN_EMAIL: '', ADMIN_PASSWORD: '' }, async (client) => {
      const thief = { email: ADMIN.email.toUpperCase(), password: 'password-of-a-thief', name: 'Thief' };
      expect((await client.post('/api/v1/auth/register', thief)).status).toBe(201);
    });
    await run({}, async (client) => {
      const thief = await client.signIn(ADMIN.email, 'password-of-a-thief');
      expect((await thief.get('/api/v1/users')).status).toBe(403);
    });
    expect(await adminsIn(database)).toEqual([]);
  });
});
