import createClient from 'openapi-fetch';
import type { paths } from '../../client/api.js';
import { ADMIN, startApp, type TestApp } from '../support/app.js';
import { drift } from '../support/document.js';

/*
 * A client made from openapi.json alone walks the whole contract. There is no cast in this file: a change of the document
 * that breaks such a client breaks the type check here.
 */

let app: TestApp;
/** Every operation and status that was met, as "METHOD /path 200". */
const met = new Set<string>();

beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());

function connect(accessToken?: string) {
  const client = createClient<paths>({ baseUrl: app.url });
  client.use({
    onRequest({ request }) {
      if (accessToken) request.headers.set('authorization', `Bearer ${accessToken}`);
    },
    async onResponse({ request, response, schemaPath }) {
      met.add(`${request.method} ${schemaPath} ${response.status}`);
      const unsaid = drift(
        request.method,
        request.url,
        response.status,
        response.headers,
        await response.clone().text(),
      );
      expect(unsaid).toEqual([]);
    },
  });
  return client;
}

/** What must be there, or the test fails: in place of an exclamation mark. */
function given<T>(value: T | null | undefined): T {
  if (value === null || value === undefined) throw new Error('nothing was answered');
  return value;
}

const tagOf = ({ headers }: Response) => given(headers.get('etag'));

async function signIn(email: string, password: string) {
  const { data } = await connect().POST('/api/v1/auth/login', { body: { email, password } });
  return given(data);
}

describe('a client made from the document', () => {
  const password = 'a-long-enough-password';
  let api: ReturnType<typeof connect>;
  let userId: string;

  it('registers, signs in, refreshes and signs out', async () => {
    const anyone = connect();
    const body = { email: 'ada@example.com', password, name: 'Ada' };
    const registered = await anyone.POST('/api/v1/auth/register', { body });
    expect(registered.response.headers.get('location')).toBe(`/api/v1/users/${given(registered.data).id}`);
    const again = await anyone.POST('/api/v1/auth/register', { body });
    expect(given(again.error).title).toBe('The request conflicts with what is there');
    const bad = await anyone.POST('/api/v1/auth/register', { body: { ...body, email: 'nobody' } });
    expect(given(given(bad.error).errors).map(({ pointer }) => pointer)).toEqual(['/email']);
    const wrong = await anyone.POST('/api/v1/auth/login', { body: { email: body.email, password: 'wrong' } });
    expect(wrong.response.status).toBe(401);

    const tokens = await signIn(body.email, password);
    expect(tokens.tokenType satisfies 'Bearer').toBe('Bearer');
    const next = await anyone.POST('/api/v1/auth/refresh', { body: { refreshToken: tokens.refreshToken } });
    const { refreshToken } = given(next.data);
    expect((await anyone.POST('/api/v1/auth/logout', { body: { refreshToken } })).response.status).toBe(204);
    expect((await anyone.POST('/api/v1/auth/refresh', { body: { refreshToken } })).response.status).toBe(401);
    expect(refreshToken).not.toBe(tokens.refreshToken);
    const keys = given((await anyone.GET('/.well-known/jwks.json')).data).keys;
    expect(keys.map(({ alg }) => alg)).toEqual(['EdDSA']);
    api = connect((await signIn(body.email, password)).accessToken);
  });

  it('reads and changes users', async () => {
    const me = await api.GET('/api/v1/users/me');
    userId = given(me.data).id;
    const params = { path: { id: userId } };
    const tag = tagOf(me.response);
    const unchanged = await api.GET('/api/v1/users/{id}', { params, headers: { 'if-none-match': tag } });
    expect(unchanged.response.status).toBe(304);
    const header = { 'if-match': tag };
    const changed = await api.PATCH('/api/v1/users/{id}', { params: { ...params, header }, body: { name: 'Ada L.' } });
    expect(given(changed.data).name).toBe('Ada L.');
    const stale = await api.PATCH('/api/v1/users/{id}', { params: { ...params, header }, body: { name: 'Ada' } });
    expect(stale.response.status).toBe(412);
    expect((await api.GET('/api/v1/users')).response.status).toBe(403);
    expect((await connect().GET('/api/v1/users/me')).response.status).toBe(401);

    const admin = connect((await signIn(ADMIN.email, ADMIN.password)).accessToken);
    const page = given((await admin.GET('/api/v1/users', { params: { query: { limit: 1, role: 'user' } } })).data);
    expect(page.items.map(({ role }) => role satisfies 'user' | 'admin')).toEqual(['user']);
    expect(page.nextCursor satisfies string | null).toBe(null);
    const unknown = { path: { id: '01a204d3-19b9-7b6e-94ae-765495b34a33' } };
    expect((await admin.GET('/api/v1/users/{id}', { params: unknown })).response.status).toBe(404);
  });

  const collection = { collection: 'trips' };

  it('makes, lists, changes and reads a collection', async () => {
    const made = await api.PUT('/api/v1/data/{collection}', {
      params: { path: collection },
      body: { visibility: 'private', description: 'Mine' },
    });
    expect(made.response.status).toBe(201);
    const changed = await api.PUT('/api/v1/data/{collection}', {
      params: { path: collection, header: { 'if-match': tagOf(made.response) } },
      body: { visibility: 'public' },
    });
    expect(given(changed.data).visibility satisfies 'private' | 'public').toBe('public');
    const names = given((await connect().GET('/api/v1/data')).data).items.map(({ name }) => name);
    expect(names).toEqual(['trips']);
    const read = await connect().GET('/api/v1/data/{collection}', { params: { path: collection } });
    expect(given(read.data).description).toBe(null);
  });

  it('adds, reads, replaces, patches and deletes a record', async () => {
    const made = await api.POST('/api/v1/data/{collection}/records', {
      params: { path: collection, header: { 'idempotency-key': 'one' } },
      body: { data: { to: 'Oslo', via: ['Bergen', { stop: true }] }, occurredAt: '2026-01-31T08:30:00Z' },
    });
    const { id, data } = given(made.data);
    expect(data.to).toBe('Oslo');
    const path = { ...collection, id };
    const read = await connect().GET('/api/v1/data/{collection}/records/{id}', { params: { path } });
    expect(given(read.data)).toEqual(made.data);
    const replaced = await api.PUT('/api/v1/data/{collection}/records/{id}', {
      params: { path, header: { 'if-match': tagOf(read.response) } },
      body: { data: { to: 'Rome' } },
    });
    const patched = await api.PATCH('/api/v1/data/{collection}/records/{id}', {
      params: { path, header: { 'if-match': tagOf(replaced.response) } },
      body: { data: { to: null, km: 1184 } },
    });
    expect(given(patched.data).data).toEqual({ km: 1184 });
    const header = { 'if-match': tagOf(patched.response) };
    const gone = await api.DELETE('/api/v1/data/{collection}/records/{id}', { params: { path, header } });
    expect(gone.response.status).toBe(204);
    const missing = await connect().GET('/api/v1/data/{collection}/records/{id}', { params: { path } });
    expect(given(missing.error).status).toBe(404);
  });

  it('adds many, lists, counts and exports them', async () => {
    const path = collection;
    const records = [{ data: { to: 'Oslo' } }, { data: { to: 'Rome' } }, { data: { to: 'Oslo' } }];
    const loaded = await api.POST('/api/v1/data/{collection}/records/bulk', { params: { path }, body: records });
    expect(given(loaded.data)).toEqual({ inserted: 3, failed: 0, errors: [] });
    const query = { limit: 1, order: 'asc', where: '{"to":"Oslo"}' } as const;
    const page = given((await connect().GET('/api/v1/data/{collection}/records', { params: { path, query } })).data);
    const cursor = given(page.nextCursor);
    const rest = await connect().GET('/api/v1/data/{collection}/records', {
      params: { path, query: { ...query, cursor } },
    });
    expect(given(rest.data).items.map(({ data }) => data.to)).toEqual(['Oslo']);
    const counted = await connect().GET('/api/v1/data/{collection}/stats', { params: { path, query: { by: 'to' } } });
    const stats = given(counted.data);
    expect([stats.total, given(stats.values)[0]?.count]).toEqual([{ count: 3, isEstimate: false }, 2]);
    const exported = await connect().GET('/api/v1/data/{collection}/records/export', {
      params: { path },
      parseAs: 'text',
    });
    expect(given(exported.data).trim().split('\n')).toHaveLength(3);
  });

  it('asks for health, and takes everything away again', async () => {
    expect(given((await connect().GET('/health/live')).data).status).toBe('ok');
    expect(given((await connect().GET('/health/ready')).data).status).toBe('ok');
    expect(given((await connect().GET('/health/startup')).data).status).toBe('ok');
    const figures = await connect().GET('/metrics', { parseAs: 'text' });
    expect(figures.data).toMatch(/^# HELP /);
    const there = await api.GET('/api/v1/data/{collection}', { params: { path: collection } });
    const params = { path: collection, header: { 'if-match': tagOf(there.response) } };
    expect((await api.DELETE('/api/v1/data/{collection}', { params })).response.status).toBe(204);
    const me = await api.GET('/api/v1/users/me');
    const mine = { path: { id: userId }, header: { 'if-match': tagOf(me.response) } };
    expect((await api.DELETE('/api/v1/users/{id}', { params: mine })).response.status).toBe(204);
  });

  it('has met every operation of the document', async () => {
    const { paths: all } = given((await app.client.get('/openapi.json')).body);
    const operations = Object.entries(all).flatMap(([path, methods]) =>
      Object.keys(Object(methods)).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const seen = new Set([...met].map((line) => line.replace(/ \d+$/, '')));
    expect(operations.filter((operation) => !seen.has(operation))).toEqual([]);
  });
});
