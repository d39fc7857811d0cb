import { ADMIN, startApp, type TestApp } from '../support/app.js';
import { type Api, createApi, given, ifMatch } from './api.js';
import type { Health, Keys, Page, Problem, Tokens, User } from './relied-on.js';

const credentials = { email: 'ada@example.org', password: 'password-of-the-client' };

let app: TestApp;
let anyone: Api;
let admin: Api;
let ada: Api;
beforeAll(async () => {
  app = await startApp();
  anyone = createApi(app.url);
  const { data: tokens } = await anyone.POST('/api/v1/auth/login', { body: ADMIN });
  admin = createApi(app.url, given(tokens).accessToken);
});
afterAll(() => app?.close());

it('lets anyone register, sign in, refresh and sign out', async () => {
  const { data: user } = await anyone.POST('/api/v1/auth/register', { body: { ...credentials, name: 'Ada' } });
  const registered: User = given(user);
  expect(registered.role).toBe('user');
  const first: Tokens = given((await anyone.POST('/api/v1/auth/login', { body: credentials })).data);
  const { data } = await anyone.POST('/api/v1/auth/refresh', { body: { refreshToken: first.refreshToken } });
  const next: Tokens = given(data);
  expect(next.expiresIn).toBeGreaterThan(0);
  const { response } = await anyone.POST('/api/v1/auth/logout', { body: { refreshToken: next.refreshToken } });
  expect(response.status).toBe(204);
  const { error } = await anyone.POST('/api/v1/auth/refresh', { body: { refreshToken: next.refreshToken } });
  const problem: Problem = given(error);
  expect(problem.type).toBe('urn:problem-type:floodgate:invalid-token');
  const again: Tokens = given((await anyone.POST('/api/v1/auth/login', { body: credentials })).data);
  ada = createApi(app.url, again.accessToken);
});

it('shows the keys, the health and the metrics to anyone', async () => {
  const keys: Keys = given((await anyone.GET('/.well-known/jwks.json')).data);
  expect(keys.keys[0]?.use).toBe('sig');
  const probes: ('/health/live' | '/health/ready' | '/health/startup')[] = [
    '/health/live',
    '/health/ready',
    '/health/startup',
  ];
  for (const path of probes) {
    const health: Health = given((await anyone.GET(path)).data);
    expect(health.status).toBe('ok');
  }
  const figures: string = given((await anyone.GET('/metrics', { parseAs: 'text' })).data);
  expect(figures).toContain('process_cpu_seconds_total');
});

it('lets users read and change themselves, and an admin list all of them', async () => {
  const me: User = given((await ada.GET('/api/v1/users/me')).data);
  const params = { path: { id: me.id } };
  const { response } = await ada.GET('/api/v1/users/{id}', { params });
  const header = ifMatch(response);
  const { data } = await ada.PATCH('/api/v1/users/{id}', { params: { ...params, header }, body: { name: 'Ada L.' } });
  const changed: User = given(data);
  expect(changed).toEqual({ ...me, name: 'Ada L.', version: me.version + 1, updatedAt: changed.updatedAt });
  const names: string[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const query = { limit: 1, ...(cursor ? { cursor } : {}) };
    const page: Page<User> = given((await admin.GET('/api/v1/users', { params: { query } })).data);
    names.push(...page.items.map(({ name }) => name));
    cursor = page.nextCursor;
  }
  expect(names).toEqual(['Ada L.', 'Admin']);
  const now = ifMatch((await ada.GET('/api/v1/users/{id}', { params })).response);
  const gone = await admin.DELETE('/api/v1/users/{id}', { params: { ...params, header: now } });
  expect(gone.response.status).toBe(204);
});
