import { startApp, type TestApp } from '../support/app.js';
import { Client, type Response } from '../support/client.js';
import { makeCollection, makeRecord, must } from '../support/collections.js';
import { bodyFor, callerFor, clientsAt, makeFor, targetsOf } from '../support/contracts.js';
import { type Nginx, startNginx } from '../support/nginx.js';
import { operations, pathOf } from '../support/operations.js';
import { describeWith } from '../support/program.js';

const PATH = '/floodgate';

describeWith('nginx', 'behind a proxy that strips the path of PUBLIC_URL', () => {
  let app: TestApp;
  let proxy: Nginx;
  /** Resolves an answer's path as a browser does: from the root of the proxy. */
  let anyone: Client;
  /** Resolves paths from PUBLIC_URL. */
  let admin: Client;
  beforeAll(async () => {
    app = await startApp({ PUBLIC_URL: `https://api.example.com${PATH}/` });
    proxy = await startNginx(
      ({ port }) => `upstream app { server ${new URL(app.url).host}; }
  server {
    listen 127.0.0.1:${port};
    # What the edge answers.
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    location ${PATH}/ { proxy_pass http://app/; }
  }`,
    );
    anyone = new Client(proxy.url);
    admin = new Client(proxy.url + PATH, app.admin.tokens, app.admin.userId);
  });
  afterAll(async () => {
    await proxy?.close();
    await app?.close();
  });

  /** The paths of a list's pages, found by following Link. */
  async function walk(path: string, reader: Client): Promise<{ paths: string[]; items: unknown[] }> {
    const [paths, items]: [string[], unknown[]] = [[], []];
    for (let next: string | undefined = path; next !== undefined; ) {
      const { body, headers } = must(200, await reader.get(next));
      paths.push(next);
      items.push(...body.items);
      const link = headers.get('link');
      next = link === null ? undefined : /^<([^>]+)>; rel="next"$/.exec(link)?.[1];
      expect([next === undefined, body.nextCursor === null]).toEqual([link === null, link === null]);
    }
    return { paths, items };
  }

  it('Location leads to the new resource', async () => {
    const made = [
      await admin.post('/api/v1/auth/register', {
        email: 'ada@example.com',
        password: 'a-password-of-hers',
        name: 'A',
      }),
      await admin.put('/api/v1/data/flights', { visibility: 'public' }),
      await admin.post('/api/v1/data/flights/records', { data: { n: 1 } }),
      await admin.post('/api/v1/data/flights/records', { data: { n: 2 } }, { 'idempotency-key': 'once' }),
      await admin.post('/api/v1/data/flights/records', { data: { n: 2 } }, { 'idempotency-key': 'once' }),
    ];
    const reader = new Client(proxy.url, app.admin.tokens);
    for (const { status, headers, body } of made) {
      expect(status).toBe(201);
      expect(headers.get('location')).toMatch(/^\/floodgate\/api\//);
      expect(must(200, await reader.get(headers.get('location') as string)).body).toEqual(body);
    }
  });

  it.each([
    ['anyone', true],
    ['a user', false],
  ])('Link leads %s from page to page, at the edge and through the pipeline', async (_, isAnyone) => {
    const set = await makeCollection(admin);
    for (let n = 0; n < 7; n++) await makeRecord(admin, set, { n });
    const reader = isAnyone ? anyone : new Client(proxy.url, (await app.user('bob')).tokens);
    const { paths, items } = await walk(`${PATH}${set.records}?limit=2`, reader);
    expect([paths.length, items.length]).toEqual([4, 7]);
    // Once more: the cache knows the pages by their paths at the app.
    expect((await walk(`${PATH}${set.records}?limit=2`, reader)).items).toEqual(items);
    // The edge does not answer these lists.
    expect((await walk(`${PATH}/api/v1/data?limit=1`, reader)).paths.length).toBeGreaterThan(1);
  });

  it('Link leads an admin from page to page of users', async () => {
    const { items } = await walk(`${PATH}/api/v1/users?limit=1`, new Client(proxy.url, app.admin.tokens));
    expect(items).toHaveLength((await app.admin.get('/api/v1/users?limit=100')).body.items.length);
  });

  it('a problem names the path that was requested', async () => {
    for (const path of ['/nowhere', '/api/v1/data/nothing', '/api/v1/data/flights/records?limit=x'])
      expect((await admin.get(path)).body.instance).toBe(PATH + path.replace(/\?.*/, ''));
    expect((await admin.get('/docs/nothing')).body.instance).toBe(`${PATH}/docs/nothing`);
    // The router itself refuses this one.
    expect((await new Client(app.url).get('/%zz')).body.instance).toBe(`${PATH}/%zz`);
  });

  it('the documentation page finds all its files, with and without a trailing slash', async () => {
    for (const page of [`${proxy.url}${PATH}/docs`, `${proxy.url}${PATH}/docs/`]) {
      const answer = await fetch(page);
      expect([answer.status, answer.url]).toEqual([200, page]);
      const html = await answer.text();
      const assets = [...html.matchAll(/(?:src|href)="([^"#]+)"/g)].map(
        ([, asset]) => new URL(asset as string, page).href,
      );
      expect(assets.length).toBeGreaterThan(4);
      for (const asset of assets) expect([asset, (await fetch(asset)).status]).toEqual([asset, 200]);
      const script = await (await fetch(assets.find((asset) => asset.endsWith('init.js')) as string)).text();
      // "Try it out" sends requests there.
      expect(script).toMatch(/"servers":\s*\[\s*\{\s*"url":\s*"\/floodgate"\s*\}\s*\]/);
    }
  });

  it("every path of openapi.json exists below the document's server URL", async () => {
    const at = `${proxy.url}${PATH}/openapi.json`;
    const { servers, paths } = await (await fetch(at)).json();
    expect(servers).toHaveLength(1);
    expect(servers[0].url).toBe(`https://api.example.com${PATH}`);
    const base = proxy.url + new URL(servers[0].url).pathname;
    const clients = await clientsAt(new Client(base));
    const asked: [string, Response][] = [];
    // Nothing is deleted without If-Match.
    for (const operation of operations) {
      const thing = await makeFor(operation, clients);
      const caller = callerFor(operation, clients, thing);
      const body = await bodyFor(operation, clients);
      asked.push([operation.id, await caller.send(operation.method, pathOf(operation, thing.values), body, {})]);
    }
    expect(new Set(operations.map(({ path }) => path))).toEqual(new Set(Object.keys(paths)));
    const isNeverThere = (id: string) =>
      operations.some((one) => one.id === id && targetsOf(one).every(([, answers]) => answers.at(-1) === 404));
    for (const [id, { status, headers }] of asked) {
      // A 404 of nginx has none of these.
      expect([id, headers.has('x-content-type-options')]).toEqual([id, true]);
      const wrong = isNeverThere(id) ? [405] : [404, 405];
      expect([id, wrong.includes(status) || status >= 500]).toEqual([id, false]);
    }
  });
});

it('a problem names the public path also when the edge refuses a request', async () => {
  const app = await startApp({
    PUBLIC_URL: `https://api.example.com${PATH}`,
    ADMISSION_MAX_REQUESTS: '10',
    ADMISSION_WAIT_MS: '1',
  });
  try {
    const path = '/api/v1/auth/login';
    const nobody = { email: 'nobody@example.com', password: 'a-password-of-nobody' };
    const answers = await Promise.all(Array.from({ length: 60 }, () => app.client.post(path, nobody)));
    const refused = answers.filter(({ status }) => status === 503);
    expect(refused.length).toBeGreaterThan(0);
    for (const { body } of refused) expect(body.instance).toBe(PATH + path);
  } finally {
    await app.close();
  }
});

describe('without a path in PUBLIC_URL', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await startApp({ PUBLIC_URL: 'https://api.example.com/' });
  });
  afterAll(() => app.close());

  it('paths begin at the root', async () => {
    const made = must(201, await app.admin.put('/api/v1/data/flights', { visibility: 'public' }));
    expect(made.headers.get('location')).toBe('/api/v1/data/flights');
    await app.admin.put('/api/v1/data/trains', { visibility: 'public' });
    expect((await app.client.get('/api/v1/data?limit=1')).headers.get('link')).toMatch(/^<\/api\/v1\/data\?/);
    expect((await app.client.get('/openapi.json')).body.servers).toEqual([{ url: 'https://api.example.com' }]);
    expect((await app.client.get('/nowhere')).body.instance).toBe('/nowhere');
  });
});
