import { setTimeout } from 'node:timers/promises';
import { startApp, type TestApp } from '../support/app.js';
import type { Client, Response } from '../support/client.js';

const SESSION_CHECK_MS = 50;

let app: TestApp;
beforeAll(async () => {
  app = await startApp({ SESSION_CHECK_MS: String(SESSION_CHECK_MS), PASSWORD_HASH_QUEUE: '200' });
});
afterAll(() => app?.close());

const pathOf = ({ userId }: Client) => `/api/v1/users/${userId}`;
const read = async (user: Client) => (await user.get('/api/v1/users/me')).body;
const etagOf = async (user: Client) => (await app.admin.get(pathOf(user))).headers.get('etag') as string;
/** A change with the current entity tag. */
const patch = async (caller: Client, user: Client, body: unknown) =>
  caller.patch(pathOf(user), body, { 'if-match': await etagOf(user) });
const login = (email: string, password: string) => app.client.post('/api/v1/auth/login', { email, password });
const refresh = (client: Client) =>
  app.client.post('/api/v1/auth/refresh', { refreshToken: client.tokens?.refreshToken });
const pointers = ({ status, body }: Response) => [
  status,
  body.errors?.map(({ pointer }: { pointer: string }) => pointer),
];
/** Opens every connection of the pool: a request that waits for one to open comes too late for a race. */
const fillPool = () => Promise.all(Array.from({ length: 20 }, () => app.admin.get('/api/v1/users')));
const forgotten = () => setTimeout(2 * SESSION_CHECK_MS);

describe('changing a user', () => {
  it('answers 428 without If-Match and 412 to a stale tag, and changes nothing', async () => {
    const user = await app.user();
    const stale = await etagOf(user);
    expect((await patch(user, user, { name: 'First' })).status).toBe(200);
    const headers: [Record<string, string>, number][] = [
      [{}, 428],
      [{ 'if-match': stale }, 412],
      [{ 'if-match': `W/${await etagOf(user)}` }, 412],
      [{ 'if-match': '"other"' }, 412],
      [{ 'if-match': 'other' }, 400],
    ];
    for (const [header, status] of headers) {
      const response = await user.patch(pathOf(user), { name: 'Second' }, header);
      expect([header, response.status]).toEqual([header, status]);
    }
    expect(await read(user)).toMatchObject({ name: 'First', version: 2 });
  });

  it.each(['application/json', 'application/merge-patch+json'])(
    'accepts %s, and answers with the user and the next entity tag',
    async (type) => {
      const user = await app.user();
      const [before, etag] = [await read(user), await etagOf(user)];
      const name = 'Ada, Countess of Lovelace';
      const response = await user.patch(pathOf(user), { name }, { 'if-match': etag, 'content-type': type });
      expect(response.status).toBe(200);
      expect(response.body).toEqual({ ...before, name, version: 2, updatedAt: expect.any(String) });
      expect(response.body.updatedAt > before.updatedAt).toBe(true);
      expect(response.headers.get('etag')).not.toBe(etag);
      expect(response.headers.get('etag')).toBe(await etagOf(user));
      expect(await read(user)).toEqual(response.body);
      expect(response.text).not.toMatch(/argon2|hash|password/i);
    },
  );

  it('refuses any other type of body with 415', async () => {
    const user = await app.user();
    for (const type of ['text/plain', 'application/json-patch+json', 'application/x-www-form-urlencoded']) {
      const headers = { 'if-match': '*', 'content-type': type };
      expect([type, (await user.patch(pathOf(user), '{"name":"x"}', headers)).status]).toEqual([type, 415]);
    }
  });

  it.each([
    ['null, because nothing can be removed', { name: null }, ['/name']],
    ['null for an address and a password', { email: null, password: null }, ['/email', '/password']],
    ['a name of blanks', { name: ' ' }, ['/name']],
    ['an invalid address', { email: 'none' }, ['/email']],
    ['a common password', { password: 'qwertyuiop', currentPassword: 'x' }, ['/password']],
    ['an unknown field', { nickname: 'x' }, ['/nickname']],
    ['a field that callers may not set', { id: 'x', version: 7 }, ['/id', '/version']],
    ['a body that is not an object', [], ['']],
  ])('refuses %s with 400 and a pointer to it', async (_, body, expected) => {
    expect(pointers(await patch(app.admin, app.admin, body))).toEqual([400, expected]);
  });

  it('allows role and disabled only to admins: 403 to the user, even for the current values', async () => {
    const user = await app.user();
    for (const body of [{ role: 'admin' }, { role: 'user' }, { disabled: true }, { disabled: false }])
      expect([body, (await patch(user, user, body)).status]).toEqual([body, 403]);
    expect((await patch(user, user, { name: 'New', role: 'admin' })).status).toBe(403);
    expect(await read(user)).toMatchObject({ role: 'user', disabled: false, version: 1 });
  });

  it('lets an admin make a user an admin, who then sees the list, and unmake them', async () => {
    const user = await app.user();
    for (const [role, status] of [
      ['admin', 200],
      ['user', 403],
    ] as const) {
      expect((await patch(app.admin, user, { role })).body.role).toBe(role);
      await forgotten();
      expect((await user.get('/api/v1/users')).status).toBe(status);
    }
  });

  it('answers 409 for an address that is taken, whatever its case, but not for their own', async () => {
    const [user] = [await app.user('owner'), await app.user('other')];
    expect((await patch(user, user, { email: 'OTHER@example.com' })).status).toBe(409);
    expect((await patch(user, user, { email: 'OWNER@example.com' })).body.email).toBe('OWNER@example.com');
    expect((await patch(user, user, { email: 'moved@example.com' })).status).toBe(200);
    expect((await login('moved@example.com', 'password-of-owner')).status).toBe(200);
    expect((await login('owner@example.com', 'password-of-owner')).status).toBe(401);
  });

  it('makes exactly one of 20 changes with one entity tag', async () => {
    const user = await app.user();
    const headers = { 'if-match': await etagOf(user) };
    await fillPool();
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) => user.patch(pathOf(user), { name: `Name ${index}` }, headers)),
    );
    const won = answers.filter(({ status }) => status === 200);
    expect(won).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 412)).toHaveLength(19);
    expect(await read(user)).toEqual(won[0]?.body);
    expect(won[0]?.body.version).toBe(2);
  });

  it('answers 404 to an admin for a user who does not exist', async () => {
    const path = '/api/v1/users/019a0000-0000-7000-8000-000000000000';
    expect((await app.admin.patch(path, { name: 'x' }, { 'if-match': '*' })).status).toBe(404);
    expect((await app.admin.delete(path, { 'if-match': '*' })).status).toBe(404);
  });
});

describe('a new password', () => {
  const password = 'another-good-password';

  it('needs the current one when users change their own', async () => {
    const user = await app.user('careful');
    expect(pointers(await patch(user, user, { password }))).toEqual([400, ['/currentPassword']]);
    const wrong = { password, currentPassword: 'not-the-password' };
    expect(pointers(await patch(user, user, wrong))).toEqual([400, ['/currentPassword']]);
    expect(pointers(await patch(app.admin, app.admin, { password }))).toEqual([400, ['/currentPassword']]);
    expect((await login('careful@example.com', 'password-of-careful')).status).toBe(200);
    expect((await login('careful@example.com', password)).status).toBe(401);
  });

  it('ends the other sessions, whose refresh tokens fail at once, but not this one', async () => {
    const user = await app.user('changer');
    const elsewhere = await app.client.signIn('changer@example.com', 'password-of-changer');
    const bystander = await app.user();
    const change = { password, currentPassword: 'password-of-changer' };
    expect((await patch(user, user, change)).status).toBe(200);
    expect((await refresh(elsewhere)).status).toBe(401);
    await forgotten();
    expect((await elsewhere.get('/api/v1/users/me')).status).toBe(401);
    expect((await user.get('/api/v1/users/me')).status).toBe(200);
    expect((await refresh(user)).status).toBe(200);
    expect((await refresh(bystander)).status).toBe(200);
    expect((await login('changer@example.com', 'password-of-changer')).status).toBe(401);
    expect((await login('changer@example.com', password)).status).toBe(200);
  });

  it('can be set by an admin without the old one, and ends all sessions of the user', async () => {
    const user = await app.user('forgetful');
    expect((await patch(app.admin, user, { password })).status).toBe(200);
    expect((await refresh(user)).status).toBe(401);
    expect((await login('forgetful@example.com', password)).status).toBe(200);
    expect((await app.admin.get('/api/v1/users/me')).status).toBe(200);
  });

  it('is not set by a change that loses a race', async () => {
    const user = await app.user('late');
    const body = { password, currentPassword: 'password-of-late' };
    expect((await user.patch(pathOf(user), body, { 'if-match': '"other"' })).status).toBe(412);
    expect((await refresh(user)).status).toBe(200);
    expect((await login('late@example.com', 'password-of-late')).status).toBe(200);
  });
});

describe('disabling a user', () => {
  it('ends refreshes and sign-ins at once and access soon, and can be undone', async () => {
    const user = await app.user('banned');
    expect((await user.get('/api/v1/users/me')).status).toBe(200);
    expect((await patch(app.admin, user, { disabled: true })).body.disabled).toBe(true);
    expect((await refresh(user)).status).toBe(401);
    expect((await login('banned@example.com', 'password-of-banned')).status).toBe(401);
    await forgotten();
    const { status, headers } = await user.get('/api/v1/users/me');
    expect([status, headers.get('www-authenticate')]).toEqual([401, 'Bearer error="invalid_token"']);
    expect((await patch(app.admin, user, { disabled: false })).status).toBe(200);
    expect((await refresh(user)).status).toBe(401);
    expect((await login('banned@example.com', 'password-of-banned')).status).toBe(200);
  });
});
