import { must } from '../support/answers.js';
import { ADMIN, startApp, type TestApp } from '../support/app.js';
import { Client, type Response } from '../support/client.js';
import { expectProblem } from '../support/problem.js';
import { pause } from '../support/process.js';
import { TestRedis } from '../support/redis.js';
import { startCluster } from '../support/redis-group.js';

const PASSWORD = 'a-password-of-the-tests';

const START: Record<string, () => Promise<{ url: string; close(): Promise<void> } | undefined>> = {
  'over Redis': async () => {
    const redis = await TestRedis.start();
    return { url: redis.url, close: () => redis.kill() };
  },
  'over a cluster of Redis': startCluster,
  'without Redis': async () => undefined,
};

/** A process must enforce the same limits with Redis, with a cluster, and without. */
describe.each(Object.entries(START))('%s', (_, start) => {
  let app: TestApp;
  let redis: Awaited<ReturnType<typeof start>>;
  const settings = (): Record<string, string> => (redis ? { REDIS_URL: redis.url, REDIS_TIMEOUT_MS: '2000' } : {});
  beforeAll(async () => {
    redis = await start();
    app = await startApp({
      ...settings(),
      TRUST_PROXY: '127.0.0.1',
      AUTH_LIMIT_WINDOW_S: '3600',
      LOGIN_LIMIT: '3',
      LOGIN_ADDRESS_LIMIT: '6',
      REGISTER_LIMIT: '4',
      REFRESH_LIMIT: '5',
    });
  });
  afterAll(async () => {
    await app?.close();
    await redis?.close();
  });

  let hosts = 0;
  const newAddress = () => `198.51.100.${++hosts}`;
  const post = (route: string, body: unknown, address: string): Promise<Response> =>
    app.client.post(`/api/v1/auth/${route}`, body, { 'x-forwarded-for': address });
  const login = (email: string, password: string, address: string) => post('login', { email, password }, address);

  const expectRefusal = (answer: Response, policy: string) => {
    expectProblem(answer, 'quota-exceeded');
    expect(answer.body['violated-policies']).toEqual([policy]);
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
  };

  it('sign-ins of one email from one address are limited, whatever spelling of the email is used', async () => {
    const address = newAddress();
    for (const email of ['eve@example.com', 'EVE@example.com', 'Ėｖe@Example.com']) {
      expectProblem(await login(email, 'wrong', address), 'invalid-credentials');
    }
    const refused = await login('eve@example.com', 'wrong', address);
    expectRefusal(refused, 'login');
    expect(refused.headers.get('ratelimit-policy')).toMatch(
      /^"default";.+, "login";q=3;w=3600, "login-address";q=6;w=3600$/,
    );
    expect(refused.headers.get('ratelimit')).toMatch(
      /^"default";.+, "login";r=0;t=1\d+, "login-address";r=\d;t=(?:600|59\d)$/,
    );
    // Neither other emails from this address nor this email from other addresses are refused.
    expectProblem(await login('other@example.com', 'wrong', address), 'invalid-credentials');
    expectProblem(await login('eve@example.com', 'wrong', newAddress()), 'invalid-credentials');
  });

  it('the Retry-After is correct', async () => {
    const brief = await startApp({ ...settings(), AUTH_LIMIT_WINDOW_S: '6', LOGIN_LIMIT: '2' });
    try {
      const tries = Array.from({ length: 9 }, () =>
        brief.client.post('/api/v1/auth/login', { email: 'eve@example.com', password: 'wrong' }),
      );
      const refused = (await Promise.all(tries)).filter(({ status }) => status === 429);
      expect(refused.length).toBeGreaterThan(0);
      const seconds = Number(refused.at(-1)?.headers.get('retry-after'));
      expect([1, 2, 3]).toContain(seconds);
      await pause(seconds * 1000);
      must(401, await brief.client.post('/api/v1/auth/login', { email: 'eve@example.com', password: 'wrong' }));
    } finally {
      await brief.close();
    }
  });

  it('sign-ins that could not succeed count as well', async () => {
    const address = newAddress();
    for (let i = 0; i < 3; i++) must(400, await post('login', { email: 'mallory@example.com' }, address));
    expectRefusal(await login('mallory@example.com', 'wrong', address), 'login');
    for (const body of ['[]', 'null', '"x"', '{"email":{}}']) {
      expect([400, 429]).toContain((await post('login', body, newAddress())).status);
    }
  });

  it('failed sign-ins of one address are limited over all emails, and successful ones do not count', async () => {
    const address = newAddress();
    for (let i = 0; i < 3; i++) must(200, await login(ADMIN.email, ADMIN.password, address));
    for (let i = 0; i < 6; i++) {
      expectProblem(await login(`nobody${i}@example.com`, 'wrong', address), 'invalid-credentials');
    }
    expectRefusal(await login('nobody9@example.com', 'wrong', address), 'login-address');
    must(200, await login(ADMIN.email, ADMIN.password, newAddress()));
  });

  describe('the current password of a signed-in user', () => {
    let users = 0;
    /** A new user's email, and a function that changes their password from an address. */
    async function somebody() {
      const email = `somebody${++users}@example.com`;
      must(201, await post('register', { email, password: PASSWORD, name: 'S' }, newAddress()));
      const { body } = must(200, await login(email, PASSWORD, newAddress()));
      const path = `/api/v1/users/${(await new Client(app.url, body).get('/api/v1/users/me')).body.id}`;
      const change = (currentPassword: string | undefined, address: string, password = PASSWORD) =>
        new Client(app.url, body).patch(
          path,
          { password, currentPassword },
          {
            'if-match': '*',
            'x-forwarded-for': address,
          },
        );
      return { email, change };
    }

    it('shares its limit with sign-ins', async () => {
      const { email, change } = await somebody();
      const address = newAddress();
      must(400, await change('wrong', address));
      must(401, await login(email.toUpperCase(), 'wrong', address));
      must(400, await change('wrong', address));
      const refused = await change(PASSWORD, address);
      expectRefusal(refused, 'login');
      expect(refused.headers.get('ratelimit-policy')).toMatch(
        /^"default";.+, "login";q=3;w=3600, "login-address";q=6;w=3600, "current-password";q=3;w=3600$/,
      );
      expectRefusal(await login(email, PASSWORD, address), 'login');
      // From elsewhere the user can sign in and change the password.
      must(200, await login(email, PASSWORD, newAddress()));
      must(200, await change(PASSWORD, newAddress()));
    });

    it('is limited for the user over all addresses, which does not limit sign-ins', async () => {
      const { email, change } = await somebody();
      for (let i = 0; i < 3; i++) must(400, await change('wrong', newAddress()));
      expectRefusal(await change(PASSWORD, newAddress()), 'current-password');
      must(200, await login(email, PASSWORD, newAddress()));
    });

    it('counts as a failure of its address only when it is wrong', async () => {
      const address = newAddress();
      for (let i = 0; i < 4; i++) must(200, await (await somebody()).change(PASSWORD, address));
      for (let i = 0; i < 6; i++) must(400, await (await somebody()).change('wrong', address));
      expectRefusal(await (await somebody()).change('wrong', address), 'login-address');
      expectRefusal(await login('nobody9@example.com', 'wrong', address), 'login-address');
    });

    it('is not counted when a change needs none or has none', async () => {
      const { change } = await somebody();
      const address = newAddress();
      for (let i = 0; i < 5; i++) must(400, await change(undefined, address));
      must(200, await change(PASSWORD, address));
    });
  });

  it('registrations and refreshes with bad tokens are limited by address', async () => {
    const address = newAddress();
    const register = (i: number) =>
      post('register', { email: `u${i}@${hosts}.com`, password: PASSWORD, name: 'U' }, address);
    for (let i = 0; i < 4; i++) must(201, await register(i));
    expectRefusal(await register(4), 'register');
    for (let i = 0; i < 5; i++) must(401, await post('refresh', { refreshToken: `no.${i}` }, address));
    expectRefusal(await post('refresh', { refreshToken: 'no.5' }, address), 'refresh');
    const { body } = must(200, await login(ADMIN.email, ADMIN.password, address));
    must(204, await post('logout', { refreshToken: body.refreshToken }, address));
    expect((await new Client(app.url, body).get('/api/v1/users/me')).status).toBe(401);
  });

  it('refreshes are limited by session, and by address only with bad tokens', async () => {
    const address = newAddress();
    const signIn = async () => must(200, await login(ADMIN.email, ADMIN.password, newAddress())).body;
    const refresh = (refreshToken: unknown) => post('refresh', { refreshToken }, address);
    const [one, other] = [await signIn(), await signIn()];
    // Junk: also tokens that name the session, and values that are not strings.
    const forged = `${one.refreshToken.slice(0, -1)}${one.refreshToken.endsWith('A') ? 'E' : 'A'}`;
    const ofNobody = one.refreshToken.replace(/^[^.]+/, '019a0000-0000-7000-8000-000000000000');
    must(401, await refresh(forged));
    must(401, await refresh(forged));
    must(401, await refresh(ofNobody));
    must(400, await refresh({ $ne: 1 }));
    must(400, await post('refresh', 'null', address));
    for (const junk of [forged, ofNobody, 'x', 7]) expectRefusal(await refresh(junk), 'refresh');
    let { refreshToken } = one;
    for (let left = 4; left >= 0; left--) {
      const { body, headers } = must(200, await refresh(refreshToken));
      expect(headers.get('ratelimit')).toMatch(new RegExp(`"refresh";r=${left};`));
      refreshToken = body.refreshToken;
    }
    expectRefusal(await refresh(refreshToken), 'refresh');
    // The limit follows the session to other addresses, and does not touch other sessions.
    expectRefusal(await post('refresh', { refreshToken }, newAddress()), 'refresh');
    must(200, await refresh(other.refreshToken));
    // The token of an ended session is treated like junk.
    must(204, await post('logout', { refreshToken }, newAddress()));
    expectRefusal(await refresh(refreshToken), 'refresh');
    must(401, await post('refresh', { refreshToken }, newAddress()));
  });

  it('a refresh with a good access token is not refused because of anonymous requests from the same address', async () => {
    const small = await startApp({
      ...settings(),
      TRUST_PROXY: '127.0.0.1',
      RATE_LIMIT_REQUESTS: '3',
      RATE_LIMIT_WINDOW_S: '3600',
    });
    try {
      const address = newAddress();
      const from = { 'x-forwarded-for': address };
      for (let i = 0; i < 3; i++) must(200, await small.client.get('/api/v1/data', from));
      const { accessToken, refreshToken } = small.admin.tokens ?? {};
      must(429, await small.client.post('/api/v1/auth/refresh', { refreshToken }, from));
      const authorization = `Bearer ${accessToken}`;
      must(200, await small.client.post('/api/v1/auth/refresh', { refreshToken }, { ...from, authorization }));
    } finally {
      await small.close();
    }
  });
});
