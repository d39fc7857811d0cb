import { ADMIN, startApp, type TestApp } from '../support/app.js';
import type { Response } from '../support/client.js';
import { beforeCommit } from '../support/locks.js';

const REGISTER = '/api/v1/auth/register';
const LOGIN = '/api/v1/auth/login';

let app: TestApp;
beforeAll(async () => {
  app = await startApp({ PASSWORD_HASH_QUEUE: '200' });
});
afterAll(() => app?.close());

const ada = { email: 'Ada@Example.com', password: 'correct-horse-battery', name: 'Ada Lovelace' };
const register = (body: unknown) => app.client.post(REGISTER, body);
const login = (body: unknown) => app.client.post(LOGIN, body);
const pointers = ({ body }: Response) => body.errors?.map(({ pointer }: { pointer: string }) => pointer);
/** A problem without the members that differ for each request. */
const wordsOf = ({ status, body }: Response) => ({ status, ...body, requestId: undefined });

describe('registering', () => {
  it('answers 201 with the user, its location and its version, and never a hash', async () => {
    const { status, headers, body, text } = await register(ada);
    expect(status).toBe(201);
    expect(body).toEqual({
      id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-7/),
      email: ada.email,
      name: ada.name,
      role: 'user',
      disabled: false,
      version: 1,
      createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      updatedAt: expect.stringMatching(/Z$/),
    });
    expect(text).not.toMatch(/argon2|hash|password/i);
    const signedIn = await app.client.signIn(ada.email, ada.password);
    const read = await signedIn.get(headers.get('location') as string);
    expect([read.status, read.body]).toEqual([200, body]);
    expect(read.headers.get('etag')).toBe(headers.get('etag'));
    expect(headers.get('etag')).toMatch(/^"[^"]+"$/);
  });

  it('answers 409 for an address that is taken, whatever its case', async () => {
    const first = { ...ada, email: 'Grace@Example.com' };
    expect((await register(first)).status).toBe(201);
    for (const email of ['Grace@Example.com', 'grace@example.com', 'GRACE@EXAMPLE.COM']) {
      const { status, body, headers } = await register({ ...first, email });
      expect([email, status, body.type]).toEqual([email, 409, 'urn:problem-type:floodgate:conflict']);
      expect(headers.get('content-type')).toBe('application/problem+json');
    }
  });

  it.each([
    ['an address without @', { email: 'ada.example.com' }, '/email'],
    ['an empty address', { email: '' }, '/email'],
    ['an address of 255 characters', { email: `${'a'.repeat(243)}@example.com` }, '/email'],
    ['an address that is not a string', { email: 1 }, '/email'],
    ['a missing address', { email: undefined }, '/email'],
    ['a password of 7 characters', { password: 'x7!kQ-z' }, '/password'],
    ['a password of 129 characters', { password: 'x'.repeat(129) }, '/password'],
    ['a password of 1 MB', { password: 'x'.repeat(1_000_000) }, '/password'],
    ['a common password', { password: 'qwertyuiop' }, '/password'],
    ['a common password in capitals', { password: 'QwertyUIOP' }, '/password'],
    ['a missing password', { password: undefined }, '/password'],
    ['a name of blanks', { name: '   ' }, '/name'],
    ['a name of 101 characters', { name: 'x'.repeat(101) }, '/name'],
    ['a name with NUL', { name: 'a\0b' }, '/name'],
    ['half of a surrogate pair', { name: 'a\ud800b' }, '/name'],
    ['null for a name', { name: null }, '/name'],
    ['a role, which is not for callers to choose', { role: 'admin' }, '/role'],
    ['an unknown field', { 'a/b~c': 1 }, '/a~1b~0c'],
  ])('refuses %s with 400 and a pointer to it', async (_, change, pointer) => {
    const response = await register({ ...ada, email: 'refused@example.com', ...change });
    expect([response.status, pointers(response)]).toEqual([400, expect.arrayContaining([pointer])]);
    expect(new Set(pointers(response)).size).toBe(1);
    expect(await login({ email: 'refused@example.com', password: ada.password })).toMatchObject({
      status: 401,
    });
  });

  it('points at every field that is wrong', async () => {
    const response = await register({ email: 'x', password: 'x', name: '' });
    expect(pointers(response)?.sort()).toEqual(['/email', '/name', '/password']);
  });

  it('accepts the longest and the shortest of every field', async () => {
    const longest = {
      email: `${'a'.repeat(64)}@${'b'.repeat(60)}.${'c'.repeat(60)}.${'d'.repeat(59)}.example`,
      password: 'x'.repeat(128),
      name: 'n'.repeat(100),
    };
    for (const body of [longest, { email: 'a@b.co', password: 'x7!kQ-zp', name: 'n' }]) {
      expect((await register(body)).status).toBe(201);
      expect((await login({ email: body.email, password: body.password })).status).toBe(200);
    }
  });

  it('gives an address that 100 callers register at once to one of them', async () => {
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, index) =>
        register({ ...ada, email: index % 2 ? 'wanted@example.com' : 'WANTED@example.com' }),
      ),
    );
    const counts = Object.groupBy(answers, ({ status }) => String(status));
    expect([counts[201]?.length, counts[409]?.length]).toEqual([1, 99]);
    const rows = await app.database.query('SELECT FROM users WHERE lower(email) = $1', ['wanted@example.com']);
    expect(rows).toHaveLength(1);
  });
});

describe('signing in', () => {
  it('answers with a pair of tokens that no cache may store, whatever the case of the address', async () => {
    const { status, headers, body } = await login({ ...ADMIN, email: ADMIN.email.toUpperCase() });
    expect(status).toBe(200);
    expect(body).toEqual({
      accessToken: expect.stringMatching(/^[\w-]+\.[\w-]+\.[\w-]+$/),
      tokenType: 'Bearer',
      expiresIn: 900,
      refreshToken: expect.any(String),
    });
    expect(headers.get('cache-control')).toBe('no-store');
  });

  it('answers the same to an unknown user, a wrong password and a disabled user', async () => {
    const disabled = await app.user('disabled');
    const path = `/api/v1/users/${disabled.userId}`;
    const change = await app.admin.patch(path, { disabled: true }, { 'if-match': '*' });
    expect(change.status).toBe(200);
    const answers = await Promise.all([
      login({ email: 'nobody@example.com', password: ADMIN.password }),
      login({ email: ADMIN.email, password: 'not-the-password' }),
      login({ email: 'disabled@example.com', password: 'password-of-disabled' }),
      login({ email: 'not an address', password: 'x' }),
    ]);
    const [first] = answers.map(wordsOf);
    expect(first).toMatchObject({ status: 401, type: 'urn:problem-type:floodgate:invalid-credentials' });
    for (const answer of answers) expect(wordsOf(answer)).toEqual(first);
  });

  it.each([
    ['a missing password', { email: ADMIN.email }, '/password'],
    ['a password of 1 MB', { ...ADMIN, password: 'x'.repeat(1_000_000) }, '/password'],
    ['an address that is too long', { ...ADMIN, email: 'x'.repeat(255) }, '/email'],
    ['an unknown field', { ...ADMIN, otp: '1' }, '/otp'],
  ])('refuses %s with 400 and a pointer to it', async (_, body, pointer) => {
    const response = await login(body);
    expect([response.status, pointers(response)]).toEqual([400, [pointer]]);
  });

  it.each([
    ['is disabled', 'UPDATE users SET disabled = true WHERE id = $1'],
    [
      'gets another password',
      `UPDATE users SET password_hash = (SELECT password_hash FROM users WHERE role = 'admin') WHERE id = $1`,
    ],
    ['is deleted', 'DELETE FROM users WHERE id = $1'],
  ])('begins no session for a user who %s while the password is checked', async (what, statement) => {
    const name = what.replaceAll(' ', '-');
    const { userId } = await app.user(name);
    const change: [string, unknown[]][] = [
      ['DELETE FROM sessions WHERE user_id = $1', [userId]],
      [statement, [userId]],
    ];
    const begun = await beforeCommit(app.database, change, 1, () =>
      login({ email: `${name}@example.com`, password: `password-of-${name}` }),
    );
    expect(begun.status).toBe(401);
    expect(await app.database.query('SELECT FROM sessions WHERE user_id = $1', [userId])).toEqual([]);
  });
});
