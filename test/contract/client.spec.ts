import { ADMIN, startApp, type TestApp } from '../support/app.js';
import { type Api, createApi, given, ifMatch } from './api.js';
import type {
  BulkReport,
  Collection,
  Health,
  Keys,
  Page,
  Problem,
  Stats,
  StoredRecord,
  Tokens,
  User,
} from './relied-on.js';

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

it('lets anyone become a user, keep a session, and end it', async () => {
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

it('shows the keys, the health and the figures to anyone', async () => {
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

it('lets a user read and change itself, and an admin all of them, page by page', async () => {
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
});

it('keeps collections and records through their whole life', async () => {
  const path = { collection: 'life' };
  const put: { params: { path: { collection: string } }; body: { visibility: 'public'; description: string } } = {
    params: { path },
    body: { visibility: 'public', description: 'Of a client' },
  };
  const made: Collection = given((await ada.PUT('/api/v1/data/{collection}', put)).data);
  const read = await ada.GET('/api/v1/data/{collection}', { params: { path } });
  expect(read.data).toEqual(made);
  const header = ifMatch(read.response);
  const changed = await ada.PUT('/api/v1/data/{collection}', {
    params: { path, header },
    body: { visibility: 'public' },
  });
  expect([changed.response.status, changed.data?.version]).toEqual([200, 2]);

  const first = await ada.POST('/api/v1/data/{collection}/records', {
    params: { path, header: { 'idempotency-key': 'one' } },
    body: { data: { to: 'Oslo', km: 405 }, occurredAt: '2026-01-31T08:30:00Z' },
  });
  const record: StoredRecord = given(first.data);
  const lines = ['{"data":{"to":"Rome","km":1184}}', '{"data":"oops"}'].join('\n');
  const bulk = await ada.POST('/api/v1/data/{collection}/records/bulk', {
    params: { path, query: { atomic: 'false' } },
    headers: { 'content-type': 'application/x-ndjson' },
    body: lines,
    bodySerializer: (body) => String(body),
  });
  const report: BulkReport = given(bulk.data);
  expect([report.inserted, report.failed, report.errors[0]?.line]).toEqual([1, 1, 2]);

  const where = JSON.stringify({ to: 'Oslo' });
  const list = await anyone.GET('/api/v1/data/{collection}/records', {
    params: {
      path,
      query: { where, order: 'asc', from: '2026-01-01T00:00:00Z', to: '2027-01-01T00:00:00Z', limit: 5 },
    },
  });
  const page: Page<StoredRecord> = given(list.data);
  expect(page).toEqual({ items: [record], nextCursor: null });
  const exported = await anyone.GET('/api/v1/data/{collection}/records/export', {
    params: { path, query: { where } },
    parseAs: 'text',
  });
  expect(JSON.parse(given(exported.data))).toEqual(record);
  const counted = await anyone.GET('/api/v1/data/{collection}/stats', {
    params: { path, query: { bucket: 'month', by: 'to' } },
  });
  const stats: Stats = given(counted.data);
  expect([stats.total.count, stats.values?.length]).toEqual([2, 2]);
  const collections: Page<Collection> = given((await anyone.GET('/api/v1/data')).data);
  expect(collections.items.map(({ name }) => name)).toEqual(['life']);

  const at = { path: { ...path, id: record.id } };
  const tagOf = async () => {
    const { response } = await ada.GET('/api/v1/data/{collection}/records/{id}', { params: at });
    return ifMatch(response);
  };
  const replaced = await ada.PUT('/api/v1/data/{collection}/records/{id}', {
    params: { ...at, header: await tagOf() },
    body: { data: { to: 'Bergen' } },
  });
  expect(replaced.data?.data).toEqual({ to: 'Bergen' });
  const patched = await ada.PATCH('/api/v1/data/{collection}/records/{id}', {
    params: { ...at, header: await tagOf() },
    body: { data: { to: null, km: 12 } },
  });
  expect(patched.data?.data).toEqual({ km: 12 });
  const gone = await ada.DELETE('/api/v1/data/{collection}/records/{id}', { params: { ...at, header: await tagOf() } });
  expect(gone.response.status).toBe(204);
});
