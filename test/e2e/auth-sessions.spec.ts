import { startApp, type TestApp } from '../support/app.js';
import type { Client } from '../support/client.js';

let app: TestApp;
beforeAll(async () => {
  app = await startApp({ SESSION_CHECK_MS: '0' });
});
afterAll(() => app?.close());

const refresh = (refreshToken: unknown) => app.client.post('/api/v1/auth/refresh', { refreshToken });
const logout = (refreshToken: unknown) => app.client.post('/api/v1/auth/logout', { refreshToken });
const tokenOf = (client: Client) => client.tokens?.refreshToken as string;
const sessionsOf = ({ userId }: Client) =>
  app.database.query<{ id: string; generation: number }>('SELECT id, generation FROM sessions WHERE user_id = $1', [
    userId,
  ]);
/** Lets time pass for the user's sessions. */
const age = ({ userId }: Client, seconds: number) =>
  app.database.query(
    `UPDATE sessions SET rotated_at = rotated_at - make_interval(secs => $2),
                         expires_at = expires_at - make_interval(secs => $2) WHERE user_id = $1`,
    [userId, seconds],
  );
const meStatus = async (accessToken: string) =>
  (await app.client.get('/api/v1/users/me', { authorization: `Bearer ${accessToken}` })).status;

describe('refreshing', () => {
  it('spends the token for a new pair that works', async () => {
    const user = await app.user();
    const { status, body, headers } = await refresh(tokenOf(user));
    expect(status).toBe(200);
    expect(body).toMatchObject({ tokenType: 'Bearer', expiresIn: 900 });
    expect(body.refreshToken).not.toBe(tokenOf(user));
    expect(headers.get('cache-control')).toBe('no-store');
    expect(await meStatus(body.accessToken)).toBe(200);
    expect((await refresh(body.refreshToken)).status).toBe(200);
  });

  it('gives two tabs that refresh within 10 s the same new token', async () => {
    const user = await app.user();
    const first = await refresh(tokenOf(user));
    await age(user, 8);
    const second = await refresh(tokenOf(user));
    expect([first.status, second.status]).toEqual([200, 200]);
    expect(second.body.refreshToken).toBe(first.body.refreshToken);
    expect((await refresh(first.body.refreshToken)).status).toBe(200);
  });

  it('ends the whole family when the previous token comes again after 10 s', async () => {
    const user = await app.user();
    const next = await refresh(tokenOf(user));
    await age(user, 11);
    const again = await refresh(tokenOf(user));
    expect([again.status, again.body.type]).toEqual([401, 'urn:problem-type:floodgate:invalid-token']);
    expect((await refresh(next.body.refreshToken)).status).toBe(401);
    expect(await meStatus(next.body.accessToken)).toBe(401);
  });

  it('ends the whole family at once when an older spent token comes again, and no other', async () => {
    const user = await app.user('victim');
    const elsewhere = await app.client.signIn('victim@example.com', 'password-of-victim');
    const second = (await refresh(tokenOf(user))).body;
    const third = (await refresh(second.refreshToken)).body;
    expect((await refresh(tokenOf(user))).status).toBe(401);
    expect((await refresh(third.refreshToken)).status).toBe(401);
    expect((await refresh(second.refreshToken)).status).toBe(401);
    expect(await meStatus(third.accessToken)).toBe(401);
    expect((await refresh(tokenOf(elsewhere))).status).toBe(200);
  });

  it('leaves one live lineage when one token is used 50 times at once', async () => {
    const user = await app.user();
    const answers = await Promise.all(Array.from({ length: 50 }, () => refresh(tokenOf(user))));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    const [only, ...others] = new Set(answers.map(({ body }) => body.refreshToken));
    expect(others).toEqual([]);
    expect(await sessionsOf(user)).toMatchObject([{ generation: 2 }]);
    const next = await refresh(only);
    expect(next.status).toBe(200);
    expect((await refresh(tokenOf(user))).status).toBe(401);
    expect((await refresh(next.body.refreshToken)).status).toBe(401);
  });

  it('refuses the token of a session that has expired, and prolongs the session with each refresh', async () => {
    const user = await app.user();
    const DAYS_29 = 29 * 86_400;
    await age(user, DAYS_29);
    const next = await refresh(tokenOf(user));
    expect(next.status).toBe(200);
    await age(user, DAYS_29);
    const after = await refresh(next.body.refreshToken);
    expect(after.status).toBe(200);
    await age(user, DAYS_29 + 2 * 86_400);
    expect((await refresh(after.body.refreshToken)).status).toBe(401);
    expect(await meStatus(after.body.accessToken)).toBe(401);
  });

  it('refuses a disabled user even if the session is still there', async () => {
    const user = await app.user();
    await app.database.query('UPDATE users SET disabled = true WHERE id = $1', [user.userId]);
    expect((await refresh(tokenOf(user))).status).toBe(401);
    expect(await meStatus(user.tokens?.accessToken as string)).toBe(401);
  });

  it('refuses forged tokens and garbage with 401, and ends no session', async () => {
    const [user, other] = [await app.user(), await app.user()];
    const [id, generation, signature] = tokenOf(user).split('.') as [string, string, string];
    const [otherId, , otherSignature] = tokenOf(other).split('.') as [string, string, string];
    const changed = (signature[0] === 'A' ? 'B' : 'A') + signature.slice(1);
    const forged = [
      'x',
      '..',
      'ä'.repeat(200),
      `${id}.${generation}.${changed}`,
      `${id}.${generation}.${signature.slice(1)}`,
      `${id}.${generation}.${otherSignature}`,
      `${otherId}.${generation}.${signature}`,
      `${id}.0.${signature}`,
      `${id}.2.${signature}`,
      `${id}.01.${signature}`,
      `${id}.999999999.${signature}`,
      `${id.toUpperCase()}.${generation}.${signature}`,
      `${'-'.repeat(36)}.1.${signature}`,
      `${'f'.repeat(36)}.1.${signature}`,
      `00000000-0000-0000-0000-000000000000.1.${signature}`,
      ` ${tokenOf(user)}`,
      `${tokenOf(user)}\n`,
      user.tokens?.accessToken.slice(0, 256) as string,
    ];
    for (const token of forged) {
      const { status, headers } = await refresh(token);
      expect([token, status]).toEqual([token, 401]);
      expect(headers.get('content-type')).toBe('application/problem+json');
      expect([token, (await logout(token)).status]).toEqual([token, 204]);
    }
    expect((await refresh(tokenOf(user))).status).toBe(200);
    expect((await refresh(tokenOf(other))).status).toBe(200);
  });

  it.each([
    ['a missing token', {}, '/refreshToken'],
    ['a token that is not a string', { refreshToken: 1 }, '/refreshToken'],
    ['a token that is too long', { refreshToken: 'x'.repeat(257) }, '/refreshToken'],
    ['an unknown field', { refreshToken: 'x', scope: 'all' }, '/scope'],
  ])('refuses %s with 400 and a pointer to it', async (_, body, pointer) => {
    for (const route of ['refresh', 'logout']) {
      const response = await app.client.post(`/api/v1/auth/${route}`, body);
      expect([response.status, response.body.errors]).toEqual([400, [expect.objectContaining({ pointer })]]);
    }
  });
});

describe('signing out', () => {
  it('ends the family, its access tokens too, and leaves other sessions alone', async () => {
    const user = await app.user('leaver');
    const elsewhere = await app.client.signIn('leaver@example.com', 'password-of-leaver');
    const next = (await refresh(tokenOf(user))).body;
    const { status, text } = await logout(next.refreshToken);
    expect([status, text]).toEqual([204, '']);
    expect((await refresh(next.refreshToken)).status).toBe(401);
    expect((await refresh(tokenOf(user))).status).toBe(401);
    expect(await meStatus(next.accessToken)).toBe(401);
    expect((await elsewhere.get('/api/v1/users/me')).status).toBe(200);
    expect((await refresh(tokenOf(elsewhere))).status).toBe(200);
  });

  it('accepts a spent token of the family, and answers 204 again when the session has ended', async () => {
    const user = await app.user();
    const next = (await refresh(tokenOf(user))).body;
    expect((await logout(tokenOf(user))).status).toBe(204);
    expect((await refresh(next.refreshToken)).status).toBe(401);
    expect((await logout(tokenOf(user))).status).toBe(204);
    expect(await sessionsOf(user)).toEqual([]);
  });
});
