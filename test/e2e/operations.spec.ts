import { request } from 'node:http';
import { startApp, type TestApp } from '../support/app.js';
import { until } from '../support/collections.js';
import { pause } from '../support/process.js';
import { sendRaw } from '../support/raw.js';

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app?.close());

describe('health', () => {
  it('answers liveness with nothing but its status', async () => {
    const { status, headers, body } = await app.client.get('/health/live');
    expect([status, body]).toEqual([200, { status: 'ok', checks: {} }]);
    expect(headers.get('cache-control')).toBe('no-store');
  });

  it('answers readiness with the state of its dependencies', async () => {
    const { status, headers, body } = await app.client.get('/health/ready');
    expect([status, body.status]).toEqual([200, 'ok']);
    expect(body.checks).toMatchObject({
      process: { status: 'up' },
      postgresql: { status: 'up' },
      schema: { status: 'up' },
    });
    expect(headers.get('cache-control')).toBe('no-store');
  });

  it('reports that it has started once the schema exists', async () => {
    const { status, body } = await app.client.get('/health/startup');
    expect([status, body]).toEqual([200, { status: 'ok', checks: { schema: { status: 'up' } } }]);
  });
});

describe('metrics', () => {
  const scrape = async (accept = 'text/plain') => (await app.client.get('/metrics', { accept })).text;
  const samples = async () => (await scrape()).split('\n').filter((line) => /^[a-z]/.test(line));

  it('come as Prometheus text, every sample with its type', async () => {
    const { status, headers, text } = await app.client.get('/metrics');
    expect(status).toBe(200);
    expect(headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    const types = new Map([...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [name, type]));
    for (const line of text.split('\n').filter((each) => each !== '' && !each.startsWith('#'))) {
      const name = /^([a-z_0-9]+)(\{([a-z_]+="[^"]*",?)*\})? (-?[0-9.e+-]+|NaN|\+Inf)$/.exec(line)?.[1];
      expect(name && (types.get(name) ?? types.get(name.replace(/_(bucket|sum|count)$/, '')))).toBeDefined();
    }
  });

  it('come as OpenMetrics to callers who ask for it', async () => {
    const accept =
      'application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.3';
    const { headers, text } = await app.client.get('/metrics', { accept });
    expect(headers.get('content-type')).toMatch(/^application\/openmetrics-text; *version=1\.0\.0/);
    expect(text).toMatch(/# EOF\n$/);
    expect(text).toContain('http_server_request_duration_seconds_bucket');
    // The other format is unchanged.
    expect(await scrape()).not.toContain('# EOF');
    expect(await scrape()).toMatch(/^process_cpu_seconds_total /m);
    expect(text).toMatch(/^# TYPE process_cpu_seconds counter\nprocess_cpu_seconds_total /m);
  });

  it.each([
    ['text/plain;q=0.5, application/openmetrics-text;version=1.0.0;q=0.4', /^text\/plain/],
    [
      'application/openmetrics-text;version=0.0.1;q=0.2,application/openmetrics-text;q=0.7,*/*;q=0.5',
      /^application\/open/,
    ],
    ['*/*', /^text\/plain/],
    ['application/openmetrics-text;q=0, text/plain', /^text\/plain/],
    ['application/json', /^text\/plain/],
    [`application/openmetrics-text, ${'a/b, '.repeat(1000)}`, /^text\/plain/],
  ])('come in the format that Accept prefers: %.60s', async (accept, type) => {
    expect((await app.client.get('/metrics', { accept })).headers.get('content-type')).toMatch(type);
  });

  it("time every request in OpenTelemetry's buckets, by method, route template and status", async () => {
    await app.admin.put('/api/v1/data/timed', { visibility: 'public' });
    await app.client.get('/api/v1/data/timed');
    const labels =
      'http_request_method="GET",url_scheme="http",http_route="/api/v1/data/:collection",http_response_status_code="200"';
    const lines = (await samples()).filter((line) => line.includes(labels));
    const bounds = lines.map((line) => /le="([^"]+)"/.exec(line)?.[1]).filter(Boolean);
    const buckets = '0.005 0.01 0.025 0.05 0.075 0.1 0.25 0.5 0.75 1 2.5 5 7.5 10 +Inf';
    expect(bounds).toEqual(buckets.split(' '));
    expect(lines).toContain(`http_server_request_duration_seconds_count{${labels}} 1`);
  });

  it('have no route for unknown paths, and one method for all unknown methods', async () => {
    const routes = async () =>
      new Set((await samples()).flatMap((line) => /^http.*_count\{(.*)\}/.exec(line)?.[1] ?? []));
    const method = (name: string) => sendRaw(app.url, `${name} /nowhere HTTP/1.1\r\nHost: a\r\n\r\n`);
    await app.client.get('/nowhere/at/first');
    await app.client.put('/nowhere', {});
    await method('PROPFIND');
    const before = await routes();
    expect(before).toContain('http_request_method="GET",url_scheme="http",http_response_status_code="404"');
    expect(before).toContain('http_request_method="_OTHER",url_scheme="http",http_response_status_code="405"');
    for (const name of ['MKCOL', 'LOCK', 'M-SEARCH']) await method(name);
    for (let i = 0; i < 20; i++) await app.client.get(`/guess-${i}/${'x'.repeat(i)}`);
    await app.client.get('/%zz');
    expect(await routes()).toEqual(before);
    expect(await scrape()).not.toContain('guess-');
  });

  it('count, as an error without a status, requests whose callers hang up before the answer', async () => {
    await app.admin.put('/api/v1/data/slow', { visibility: 'public' });
    const aborted = async () =>
      (await samples()).filter((line) => /_count\{.*error_type="aborted"/.test(line) && line.includes('data'));
    const total = async () =>
      (await samples())
        .filter((line) => /_count\{/.test(line) && line.includes('/records'))
        .reduce((sum, line) => sum + Number(line.split(' ')[1]), 0);
    const before = await total();
    const held = app.database.query('DO $$ BEGIN LOCK TABLE records, collections; PERFORM pg_sleep(1); END $$');
    await pause(100);
    const authorization = `Bearer ${app.admin.tokens?.accessToken}`;
    const body = { authorization, 'content-type': 'application/json', 'content-length': '11' };
    const asked = [
      request(`${app.url}/api/v1/data/slow/records?limit=7`, { headers: { authorization } }).end(),
      request(`${app.url}/api/v1/data/slow/records`, { method: 'POST', headers: body }).end('{"data":{}}'),
    ];
    for (const one of asked) one.on('error', () => {});
    await pause(300);
    for (const one of asked) one.destroy();
    await held;
    await until(async () => (await aborted()).length === 2);
    // Their work ends, and they are counted once.
    await pause(500);
    const labels = (name: string) =>
      `{http_request_method="${name}",url_scheme="http",http_route="/api/v1/data/:collection/records",error_type="aborted"} 1`;
    expect((await aborted()).map((line) => line.replace(/^[a-z_]+/, '')).sort()).toEqual([
      labels('GET'),
      labels('POST'),
    ]);
    expect(await total()).toBe(before + 2);
  });

  it('have the status as the type of an error', async () => {
    await app.database.query('ALTER TABLE collections RENAME TO gone');
    await app.client.get('/api/v1/data');
    await app.database.query('ALTER TABLE gone RENAME TO collections');
    const labels =
      'http_request_method="GET",url_scheme="http",http_route="/api/v1/data",http_response_status_code="500",error_type="500"';
    expect(await samples()).toContain(`http_server_request_duration_seconds_count{${labels}} 1`);
  });

  it('show the pool, the event loop and the heap', async () => {
    const names = new Set((await samples()).map((line) => /^[a-z_0-9]+/.exec(line)?.[0]));
    for (const name of [
      'db_client_connection_count',
      'db_client_connection_pending_requests',
      'db_client_connection_max',
      'nodejs_eventloop_utilization',
      'nodejs_eventloop_lag_p99_seconds',
      'nodejs_heap_size_used_bytes',
      'nodejs_gc_duration_seconds_count',
      'process_resident_memory_bytes',
      'process_cpu_seconds_total',
    ])
      expect(names).toContain(name);
    const text = await scrape();
    expect(text).toMatch(/^db_client_connection_max 10$/m);
    expect(text).toMatch(/^feed_listeners_max 10000$/m);
    expect(text).toMatch(/^db_client_connection_count\{db_client_connection_state="idle"\} [1-9]/m);
    const busy = Number(/^nodejs_eventloop_utilization (\S+)$/m.exec(text)?.[1]);
    expect(busy).toBeGreaterThanOrEqual(0);
    expect(busy).toBeLessThanOrEqual(1);
  });
});

describe('metrics of the cache, admission, limits and Redis', () => {
  const figures = async () => {
    const { text } = await app.client.get('/metrics', { accept: 'text/plain' });
    return (sample: string) =>
      Number(
        text
          .split('\n')
          .find((line) => line.startsWith(`${sample} `))
          ?.split(' ')[1],
      );
  };

  it('count hits and misses of the cache', async () => {
    await app.admin.put('/api/v1/data/counted', { visibility: 'public' });
    const path = (await app.admin.post('/api/v1/data/counted/records', { data: {} })).headers.get('location') as string;
    const before = await figures();
    for (let i = 0; i < 5; i++) await app.client.get(path);
    const after = await figures();
    const more = (result: string) => {
      const sample = `cache_requests_total{result="${result}"}`;
      return after(sample) - before(sample);
    };
    expect(more('hit')).toBeGreaterThanOrEqual(4);
    expect(more('miss')).toBeGreaterThanOrEqual(1);
    expect([more('stale'), after('cache_refresh_failures_total')]).toEqual([0, 0]);
  });

  it("show admission's limit and count its refusals", async () => {
    const of = await figures();
    expect(of('admission_limit')).toBeGreaterThanOrEqual(10);
    expect([of('admission_in_flight'), of('admission_queued')]).toEqual([0, 0]);
    for (const priority of ['write', 'login', 'read', 'bulk'])
      for (const reason of ['full', 'late'])
        expect(of(`admission_refused_total{priority="${priority}",reason="${reason}"}`)).toBe(0);
  });

  it('count requests over a limit', async () => {
    const sample = 'ratelimit_refused_total{policy="default"}';
    expect((await figures())(sample)).toBe(0);
    const limited = await startApp({ RATE_LIMIT_REQUESTS: '2' });
    for (let i = 0; i < 5; i++) await limited.client.get('/api/v1/data');
    await limited.close();
    expect((await figures())(sample)).toBeGreaterThanOrEqual(2);
  });

  it('leave out Redis when it is not configured', async () => {
    expect((await figures())('redis_up')).toBeNaN();
  });
});

describe('the description of the API', () => {
  it('is OpenAPI 3.1 and names every route', async () => {
    const { status, body } = await app.client.get('/openapi.json');
    expect(status).toBe(200);
    expect(body.openapi).toMatch(/^3\.1\./);
    const routes = Object.entries(body.paths as Record<string, object>).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const data = '/api/v1/data/{collection}';
    expect(routes).toEqual(
      expect.arrayContaining([
        'POST /api/v1/auth/register',
        'POST /api/v1/auth/login',
        'POST /api/v1/auth/refresh',
        'POST /api/v1/auth/logout',
        'GET /.well-known/jwks.json',
        'GET /api/v1/users',
        'GET /api/v1/users/me',
        'GET /api/v1/users/{id}',
        'PATCH /api/v1/users/{id}',
        'DELETE /api/v1/users/{id}',
        'GET /api/v1/data',
        ...['PUT', 'GET', 'DELETE'].map((method) => `${method} ${data}`),
        ...['POST', 'GET'].map((method) => `${method} ${data}/records`),
        ...['GET', 'PUT', 'PATCH', 'DELETE'].map((method) => `${method} ${data}/records/{id}`),
        `POST ${data}/records/bulk`,
        'GET /health/live',
        'GET /health/ready',
        'GET /health/startup',
      ]),
    );
  });

  it('has no dangling references', async () => {
    const { body, text } = await app.client.get('/openapi.json');
    const references = [...text.matchAll(/"\$ref":"([^"]+)"/g)].map(([, reference]) => reference as string);
    expect(references.length).toBeGreaterThan(20);
    for (const reference of new Set(references)) {
      const steps = reference.replace(/^#\//, '').split('/');
      expect([reference, steps.reduce((node, step) => node?.[step], body)]).toEqual([reference, expect.anything()]);
    }
  });

  it('is a page at /docs that needs nothing from other origins', async () => {
    const page = await app.client.get('/docs');
    expect([page.status, page.headers.get('content-type')]).toEqual([200, expect.stringMatching(/^text\/html/)]);
    const links = [...page.text.matchAll(/<(?:script|link|img|iframe)\b[^>]*?\b(?:src|href)="([^"]+)"/g)];
    const urls = links.map(([, link]) => new URL(link as string, `${app.url}/docs`));
    expect(urls.length).toBeGreaterThanOrEqual(4);
    for (const url of urls) {
      expect(url.origin).toBe(app.url);
      expect([url.pathname, (await app.client.get(url.pathname)).status]).toEqual([url.pathname, 200]);
    }
    const style = await app.client.get('/docs/swagger-ui.css');
    expect(style.text).not.toMatch(/(?:@import|url\()\s*["']?(?:https?:)?\/\//);
  });
});
