import { startApp, type TestApp } from '../support/app.js';
import { Client, type Response } from '../support/client.js';
import { makeCollection, makeRecord, must } from '../support/collections.js';
import { expectProblem } from '../support/problem.js';
import { pause } from '../support/process.js';

/** Only one request is regained a minute, so that no test sees that. */
const QUOTA = 15;
const POLICY = '"default";q=15;w=900';
const LIMITED = { RATE_LIMIT_REQUESTS: String(QUOTA), RATE_LIMIT_WINDOW_S: '900' };
const LIST = '/api/v1/data?limit=1';

let app: TestApp;
let ada: Client;
let bob: Client;
let carl: Client;
beforeAll(async () => {
  app = await startApp({ ...LIMITED, TRUST_PROXY: '127.0.0.1', CORS_ORIGINS: 'https://shop.example.com' });
  [ada, bob, carl] = [await app.user('ada'), await app.user('bob'), await app.user('carl')];
});
afterAll(() => app?.close());

type Ask = (path?: string, headers?: Record<string, string>, method?: string, body?: unknown) => Promise<Response>;

let hosts = 0;
/** Sends requests as a trusted proxy would for this address; by default one without requests so far. */
const from =
  (address = `198.51.100.${++hosts}`, { url, tokens }: Client = app.client): Ask =>
  (path = LIST, headers = {}, method = 'GET', body?: unknown) =>
    new Client(url, tokens).send(method, path, body, { 'x-forwarded-for': address, ...headers });

/** Repeats a request until it is refused. @returns the number of admitted requests, and the refusal */
async function exhaust(ask: () => Promise<Response>): Promise<[admitted: number, refusal: Response]> {
  for (let admitted = 0; ; admitted++) {
    const answer = await ask();
    if (answer.status === 429) return [admitted, answer];
    if (admitted > 3 * QUOTA) throw new Error('it is never refused');
  }
}

/** Expects this many requests to be left, and one to be regained within a minute. */
const expectLeft = ({ headers }: Response, left: number) =>
  expect(headers.get('ratelimit')).toMatch(new RegExp(`^"default";r=${left};t=[1-6]\\d$`));

describe('the general limit', () => {
  it('is stated in every answer, and counts down', async () => {
    const ask = from();
    for (const [i, [status, ...request]] of [
      [200, LIST],
      [200, LIST, {}, 'HEAD'],
      [400, `${LIST}&limit=x`],
      [401, '/api/v1/users/me'],
      [404, '/api/v1/nothing'],
      [405, LIST, {}, 'DELETE'],
      [406, LIST, { accept: 'image/png' }],
      [400, '/api/v1/auth/login', {}, 'POST', '{'],
      [415, '/api/v1/auth/login', { 'content-type': 'text/plain' }, 'POST', 'x'],
    ].entries() as unknown as [number, [number, ...Parameters<Ask>]][]) {
      const answer = await ask(...request);
      expect([request, answer.status]).toEqual([request, status]);
      expect(answer.headers.get('ratelimit-policy')).toBe(POLICY);
      expectLeft(answer, QUOTA - 1 - i);
    }
  });

  it('answers 429 when it is exceeded, with a correct Retry-After', async () => {
    const brief = await startApp({ RATE_LIMIT_REQUESTS: '5', RATE_LIMIT_WINDOW_S: '10' });
    try {
      const [, refusal] = await exhaust(() => brief.client.get(LIST));
      expectProblem(refusal, 'quota-exceeded');
      expect(refusal.body['violated-policies']).toEqual(['default']);
      expect(refusal.headers.get('ratelimit-policy')).toBe('"default";q=5;w=10');
      const seconds = Number(refusal.headers.get('retry-after'));
      expect([1, 2]).toContain(seconds);
      expect(refusal.headers.get('ratelimit')).toBe(`"default";r=0;t=${seconds}`);
      await pause(seconds * 1000);
      expect((await brief.client.get(LIST)).status).toBe(200);
    } finally {
      await brief.close();
    }
  });

  it('refuses before the body is read', async () => {
    const ask = from();
    await exhaust(ask);
    const broken = '{'.repeat(100_000);
    expectProblem(await ask('/api/v1/auth/login', {}, 'POST', broken), 'quota-exceeded');
  });

  it('exempts probes, scrapes and keys, and no path that only looks like them', async () => {
    const ask = from();
    await exhaust(ask);
    const probes = ['/health/live', '/health/ready', '/health/startup', '/metrics'];
    for (const path of [...probes, ...probes.map((probe) => `${probe}?x=1`), '/.well-known/jwks.json']) {
      for (const headers of [{}, { authorization: `Bearer ${ada.tokens?.accessToken}` }] as Record<string, string>[]) {
        const answer = await ask(path, headers);
        expect([path, answer.status === 429, answer.headers.has('ratelimit')]).toEqual([path, false, false]);
      }
    }
    for (const probe of [...probes, '/.well-known/jwks.json']) expect((await ask(probe, {}, 'HEAD')).status).toBe(200);
    const paths = ['/', '/healthy', '/docs', '/docs/x', '/openapi.json', '/metrics2', '/metrics/x'];
    for (const path of [...paths, '/health/x', '/health/live/', '/health/liveness', '/.well-known/x', '/metric%73'])
      expectProblem(await ask(path), 'quota-exceeded');
    for (const path of probes) expectProblem(await ask(path, {}, 'POST'), 'quota-exceeded');
  });

  it('counts OPTIONS by address, including preflights, apart from all other requests', async () => {
    const preflight = { origin: 'https://shop.example.com', 'access-control-request-method': 'PUT' };
    const ask = from();
    await exhaust(ask);
    const targets: [string, Record<string, string>, number][] = [
      [LIST, preflight, 204],
      [LIST, {}, 405],
      ['/health/x', {}, 404],
      ['/health/live', preflight, 204],
      ['/metrics', {}, 405],
      ['/metrics', { authorization: 'Bearer bad' }, 405],
    ];
    for (let i = 0; i < QUOTA; i++) {
      const [path, headers, status] = targets[i % targets.length] as (typeof targets)[number];
      const answer = await ask(path, headers, 'OPTIONS');
      expect([path, answer.status]).toEqual([path, status]);
      expectLeft(answer, QUOTA - 1 - i);
    }
    for (const [path, headers] of targets) expectProblem(await ask(path, headers, 'OPTIONS'), 'quota-exceeded');
    // They do not use up the quota of other requests either.
    const other = from();
    await exhaust(() => other(LIST, preflight, 'OPTIONS'));
    expectLeft(await other(), QUOTA - 1);
  });

  it('applies to answers of the edge like to all others', async () => {
    const { path } = await makeRecord(app.admin, await makeCollection(app.admin));
    const ask = from();
    for (let left = QUOTA - 1; left >= 0; left--) {
      const answer = await ask(path);
      expect([answer.status, answer.headers.get('ratelimit-policy')]).toEqual([200, POLICY]);
      expectLeft(answer, left);
    }
    for (const other of [path, LIST]) expectProblem(await ask(other), 'quota-exceeded');
    expect((await ask(path, { authorization: `Bearer ${bob.tokens?.accessToken}` })).status).toBe(200);
  });

  it('can be read by pages of other origins', async () => {
    const { headers } = await from()(LIST, { origin: 'https://shop.example.com' });
    expect(headers.get('access-control-expose-headers')).toMatch(/RateLimit, RateLimit-Policy/);
  });
});

describe('a caller', () => {
  it('with a token is identified by the user, at any address', async () => {
    const address = '203.0.113.1';
    let i = 0;
    const [admitted] = await exhaust(() => from(`203.0.113.${++i}`, ada)());
    // One request was spent on /users/me at sign-in.
    expect(admitted).toBe(QUOTA - 1);
    expect((await from(address, ada)()).status).toBe(429);
    expect((await from(address, bob)()).status).toBe(200);
    expect((await from(address)()).status).toBe(200);
  });

  it('without a token is identified by the address, and takes no quota from callers with one', async () => {
    const address = '203.0.113.200';
    expect((await exhaust(from(address)))[0]).toBe(QUOTA);
    const { status, headers } = await from(address, bob)();
    expect([status, headers.get('ratelimit-policy')]).toEqual([200, POLICY]);
    expect((await from()()).status).toBe(200);
  });

  it('with a bad token is identified by the address, too', async () => {
    const address = '203.0.113.201';
    let i = 0;
    const [admitted, refusal] = await exhaust(() => from(address)(LIST, { authorization: `Bearer bad.token.${++i}` }));
    expect(admitted).toBe(QUOTA);
    expectProblem(refusal, 'quota-exceeded');
    expect(refusal.headers.get('www-authenticate')).toBeNull();
    expect((await from(address)()).status).toBe(429);
    expect((await from(address, bob)()).status).toBe(200);
  });

  it('is counted once for a request, even when it is refused after the token was verified', async () => {
    const left = async (answer: Promise<Response>) =>
      Number(/r=(\d+)/.exec((await answer).headers.get('ratelimit') ?? '')?.[1]);
    const before = await left(carl.get(LIST));
    expect(await left(carl.get('/api/v1/users'))).toBe(before - 1);
    expect(await left(carl.get('/api/v1/data/none'))).toBe(before - 2);
  });

  it('is counted by address for requests that are refused before the token is verified', async () => {
    const address = '203.0.113.202';
    const requests = [
      () => from(address, bob)('/api/v1/nothing'),
      () => from(address, bob)(LIST, {}, 'DELETE'),
      () => from(address, bob)('/api/v1/auth/login', { 'content-type': 'text/plain' }, 'POST', '{'),
      () => from(address, bob)('/api/v1/%zz'),
    ];
    let i = 0;
    const [admitted] = await exhaust(() => (requests[i++ % requests.length] as () => Promise<Response>)());
    expect(admitted).toBe(QUOTA);
  });

  it('with an IPv6 address is identified by its /64, and IPv4 mapped to IPv6 counts as IPv4', async () => {
    let i = 0;
    const [admitted] = await exhaust(() => from(`2001:db8:0:7:${(++i).toString(16)}::${i.toString(16)}`)());
    expect(admitted).toBe(QUOTA);
    expect((await from('2001:db8:0:8::1')()).status).toBe(200);
    await exhaust(from('203.0.113.203'));
    expect((await from('::ffff:203.0.113.203')()).status).toBe(429);
  });
});

it('the default limits are high enough for ordinary use', async () => {
  const defaults = await startApp({
    RATE_LIMIT_REQUESTS: '',
    LOGIN_LIMIT: '',
    LOGIN_ADDRESS_LIMIT: '',
    REGISTER_LIMIT: '',
  });
  try {
    expect((await defaults.client.get(LIST)).headers.get('ratelimit-policy')).toBe('"default";q=600;w=60');
    for (let i = 0; i < 5; i++) must(200, await (await defaults.user()).get('/api/v1/users/me'));
  } finally {
    await defaults.close();
  }
});
