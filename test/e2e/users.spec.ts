import { startApp, type TestApp } from '../support/app.js';
import type { Client, Response } from '../support/client.js';

const USERS = '/api/v1/users';
const UNKNOWN = `${USERS}/019a0000-0000-7000-8000-000000000000`;

let app: TestApp;
let ada: Client;
let bob: Client;
beforeAll(async () => {
  app = await startApp();
  ada = await app.user('ada');
  bob = await app.user('bob');
});
afterAll(() => app?.close());

/** Inserts users directly into the table: the tests are about reading them. */
const insert = (emails: string[], createdAt = 'now()') =>
  app.database.query(
    `INSERT INTO users (email, name, password_hash, created_at)
     SELECT email, 'Inserted', 'none', ${createdAt} FROM unnest($1::text[]) WITH ORDINALITY AS t (email, n)`,
    [emails],
  );
const emailsOf = ({ body }: Response): string[] => body.items.map(({ email }: { email: string }) => email);
const list = (parameters: Record<string, string> = {}) => app.admin.get(`${USERS}?${new URLSearchParams(parameters)}`);
/** A problem without the members that differ for each request. */
const wordsOf = ({ status, body }: Response) => ({
  status,
  ...body,
  instance: undefined,
  requestId: undefined,
});

describe('the list of users', () => {
  it('is for admins only: 403 to a user, 401 without a token', async () => {
    const { status, body } = await ada.get(USERS);
    expect([status, body.type]).toEqual([403, 'urn:problem-type:floodgate:forbidden']);
    expect((await app.client.get(USERS)).status).toBe(401);
  });

  it('shows users as single reads do, newest first, without a hash, and in no shared cache', async () => {
    const response = await list();
    expect(response.status).toBe(200);
    expect(emailsOf(response).slice(-3)).toEqual(['bob@example.com', 'ada@example.com', 'admin@example.com']);
    expect(response.body.items.at(-1)).toEqual((await app.admin.get(`${USERS}/me`)).body);
    expect(response.text).not.toMatch(/argon2|hash|password/i);
    expect(response.headers.get('cache-control')).toMatch(/private/);
  });

  it('pages through users of one millisecond without skipping or repeating one, while more come in', async () => {
    const wanted = Array.from({ length: 55 }, (_, index) => `page${index}@example.com`);
    await insert(wanted.slice(0, 30), `'2024-01-01T00:00:00.123Z'`);
    await insert(wanted.slice(30), `'2024-01-01T00:00:00Z'::timestamptz + n * interval '0.4 ms'`);
    const seen: string[] = [];
    let path: string | undefined = `${USERS}?limit=7&email=page`;
    for (let pages = 0; path; pages++) {
      const response: Response = await app.admin.get(path);
      expect(response.status).toBe(200);
      seen.push(...emailsOf(response));
      await insert([`page-new${pages}@example.com`]);
      path = /^<(.*)>; rel="next"$/.exec(response.headers.get('link') ?? '')?.[1];
      expect(path === undefined).toBe(response.body.nextCursor === null);
      expect(response.body.items).toHaveLength(path ? 7 : 55 % 7);
    }
    expect(seen.toSorted()).toEqual(wanted.toSorted());
    const [{ rows } = { rows: [] }] = await app.database.query<{ rows: string[] }>(
      `SELECT array_agg(email ORDER BY created_at DESC, id DESC) AS rows FROM users WHERE email = ANY ($1)`,
      [wanted],
    );
    expect(seen).toEqual(rows);
  });

  it('has 20 users on a page, and 100 at most', async () => {
    await insert(
      Array.from({ length: 120 }, (_, index) => `many${index}@example.com`),
      `'2024-02-01T00:00:00Z'`,
    );
    expect((await list()).body.items).toHaveLength(20);
    expect((await list({ limit: '1' })).body.items).toHaveLength(1);
    expect((await list({ limit: '1000' })).body.items).toHaveLength(100);
  });

  it('ends with no next page, even when the last one is full', async () => {
    await insert(
      Array.from({ length: 4 }, (_, index) => `full${index}@example.com`),
      `'2024-03-01T00:00:00Z'`,
    );
    const first = await list({ email: 'full', limit: '2' });
    const second = await list({ email: 'full', limit: '2', cursor: first.body.nextCursor });
    expect(second.body.items).toHaveLength(2);
    expect([second.body.nextCursor, second.headers.get('link')]).toEqual([null, null]);
  });

  it('can be filtered by role', async () => {
    expect(emailsOf(await list({ role: 'admin' }))).toEqual(['admin@example.com']);
    const users = await list({ role: 'user', limit: '100' });
    expect(users.body.items.every(({ role }: { role: string }) => role === 'user')).toBe(true);
    expect(users.body.items.length).toBeGreaterThan(1);
  });

  it('can be filtered by the beginning of the address, in any case, without wildcards', async () => {
    await insert([
      'Pre.Fix@example.com',
      'pre_fix@example.com',
      'pre%fix@example.com',
      'pre\\fix@example.com',
      'a.pre@example.com',
    ]);
    const found = async (email: string) => emailsOf(await list({ email })).sort();
    expect(await found('PRE')).toEqual([
      'Pre.Fix@example.com',
      'pre%fix@example.com',
      'pre\\fix@example.com',
      'pre_fix@example.com',
    ]);
    expect(await found('pre_f')).toEqual(['pre_fix@example.com']);
    expect(await found('PRE%')).toEqual(['pre%fix@example.com']);
    expect(await found('pre\\')).toEqual(['pre\\fix@example.com']);
    expect(await found('pre.fix@EXAMPLE.com')).toEqual(['Pre.Fix@example.com']);
    expect(await found("pre' OR true --")).toEqual([]);
  });

  it.each([
    ['a limit of 0', { limit: '0' }, 'limit'],
    ['a negative limit', { limit: '-1' }, 'limit'],
    ['a limit that is not a number', { limit: '1e2' }, 'limit'],
    ['an unknown role', { role: 'owner' }, 'role'],
    ['an unknown parameter', { sort: 'name' }, 'sort'],
    ['garbage for a cursor', { cursor: 'garbage' }, 'cursor'],
    ['an empty cursor', { cursor: '' }, 'cursor'],
    ['a cursor of odd characters', { cursor: 'é.ü' }, 'cursor'],
    ['an address that is too long', { email: 'x'.repeat(255) }, 'email'],
  ])('refuses %s with 400 and its name', async (_, parameters, pointer) => {
    const { status, body } = await list(parameters as Record<string, string>);
    expect([status, body.errors]).toEqual([400, [expect.objectContaining({ pointer })]]);
  });

  it('refuses a cursor that was changed or made with other filters', async () => {
    const { nextCursor: cursor } = (await list({ limit: '1', role: 'user' })).body;
    expect((await list({ cursor, role: 'user' })).status).toBe(200);
    expect((await list({ cursor })).status).toBe(400);
    expect((await list({ cursor, role: 'user', email: 'a' })).status).toBe(400);
    for (const at of [0, 10, cursor.length - 1]) {
      const changed = `${cursor.slice(0, at)}${cursor[at] === 'A' ? 'B' : 'A'}${cursor.slice(at + 1)}`;
      expect([changed, (await list({ cursor: changed, role: 'user' })).status]).toEqual([changed, 400]);
    }
    expect((await ada.get(`/api/v1/data?cursor=${cursor}`)).status).toBe(400);
  });
});

describe('reading a user', () => {
  it('gives callers their own user, under /me and under their id, in no shared cache', async () => {
    const me = await ada.get(`${USERS}/me`);
    const self = await ada.get(`${USERS}/${ada.userId}`);
    expect([me.status, self.status]).toEqual([200, 200]);
    expect(me.body).toMatchObject({ id: ada.userId, email: 'ada@example.com', name: 'ada', role: 'user' });
    expect(self.body).toEqual(me.body);
    expect(self.headers.get('etag')).toBe(me.headers.get('etag'));
    expect(self.headers.get('cache-control')).toBe('private, no-cache');
    expect(self.text).not.toMatch(/argon2|hash|password/i);
  });

  it('gives an admin any user, and 404 for one who does not exist', async () => {
    const { status, body } = await app.admin.get(`${USERS}/${ada.userId}`);
    expect([status, body.id]).toEqual([200, ada.userId]);
    const unknown = await app.admin.get(UNKNOWN);
    expect([unknown.status, unknown.body.type]).toEqual([404, 'urn:problem-type:floodgate:not-found']);
  });

  it('answers 403 to a user in the same words, whether the other user exists or not', async () => {
    for (const method of ['GET', 'PATCH', 'DELETE']) {
      const body = method === 'PATCH' ? { email: 'admin@example.com' } : undefined;
      const [there, admin, unknown] = (await Promise.all(
        [`${USERS}/${bob.userId}`, `${USERS}/${app.admin.userId}`, UNKNOWN].map((path) =>
          ada.send(method, path, body, { 'if-match': '*' }),
        ),
      )) as [Response, Response, Response];
      expect([method, there.status]).toEqual([method, 403]);
      expect(wordsOf(there)).toEqual(wordsOf(unknown));
      expect(wordsOf(admin)).toEqual(wordsOf(unknown));
    }
  });

  it('answers 304 to the current tag, and 200 to any other', async () => {
    const path = `${USERS}/${ada.userId}`;
    const etag = (await ada.get(path)).headers.get('etag') as string;
    for (const header of [etag, `W/${etag}`, `"other", ${etag}`, '*', etag.replace(/"$/, '-gzip"')]) {
      const { status, text, headers } = await ada.get(path, { 'if-none-match': header });
      expect([header, status, text, headers.get('etag')]).toEqual([header, 304, '', etag]);
    }
    expect((await ada.get(path, { 'if-none-match': '"other"' })).status).toBe(200);
    expect((await ada.get(`${USERS}/me`, { 'if-none-match': etag })).status).toBe(304);
    expect((await bob.get(path, { 'if-none-match': etag })).status).toBe(403);
  });

  it('answers 400 for an invalid id, to every caller', async () => {
    for (const client of [ada, app.admin]) {
      const { status, body } = await client.get(`${USERS}/1`);
      expect([status, body.errors]).toEqual([400, [{ pointer: 'id', detail: 'must be a UUID' }]]);
    }
  });
});
