import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { createApp } from '../../src/app.js';
import { loadConfig } from '../../src/config.js';
import { ADMIN, testEnvironment } from '../support/app.js';
import { makeCollection, makeRecord, must } from '../support/collections.js';
import { createDatabase } from '../support/database.js';
import { operations, pathOf } from '../support/operations.js';
import { pause } from '../support/process.js';
import { TestRedis } from '../support/redis.js';
import { untilHeard } from '../support/replicas.js';
import { ANY, type Deployment, deploy, signUp } from './deployment.js';

let { anyone, admin, bob, start, close } = {} as Deployment;
/** Whom nobody is to ask: whoever does has taken an address from a caller, or followed an answer to it. */
let bait: Server;
let baitUrl: string;
let bitten = 0;
beforeAll(async () => {
  ({ anyone, admin, bob, start, close } = await deploy());
  bait = createServer((_, response) => response.end()).on('connection', () => bitten++);
  await once(bait.listen(0, '127.0.0.1'), 'listening');
  baitUrl = `http://127.0.0.1:${(bait.address() as AddressInfo).port}/`;
}, 60_000);
afterAll(async () => {
  await close?.();
  bait?.close();
  bait?.closeAllConnections();
});

it('API7:2023 Server Side Request Forgery (ASVS 1.3.6): no address that a caller names is asked for anything', async () => {
  const set = await makeCollection(bob);
  const values = { collection: set.name, id: (await makeRecord(bob, set)).id };
  const named = [
    'referer',
    'origin',
    'link',
    'location',
    'x-forwarded-host',
    'x-original-url',
    'x-wap-profile',
    'via',
    'from',
  ];
  named.push(
    'x-callback-url',
    'callback',
    'traceparent',
    'tracestate',
    'baggage',
    'x-forwarded-for',
    'forwarded',
    'if-match',
  );
  const headers = Object.fromEntries(named.map((name) => [name, baitUrl]));
  for (const operation of operations) {
    const path = pathOf(operation, operation.path.includes('/users/') ? { id: bob.userId } : values);
    const members = Object.keys(operation.input?.properties ?? {}).map((name) => [name, baitUrl]);
    const bodies =
      operation.body === undefined
        ? [undefined]
        : [operation.body, Object.fromEntries(members), { data: { url: baitUrl, $ref: baitUrl } }];
    for (const body of bodies)
      for (const query of [
        '',
        `?url=${baitUrl}&callback=${baitUrl}`,
        `?where=${encodeURIComponent(JSON.stringify({ $ref: baitUrl }))}`,
      ])
        await bob.send(operation.method, path + query, body, headers);
    await bob.send(operation.method, baitUrl.replace('http://', '/'), undefined, headers);
  }
  await pause(300);
  expect(bitten).toBe(0);
  // It would have been noticed.
  await fetch(baitUrl);
  expect(bitten--).toBe(1);
});

it('API8:2023 Security Misconfiguration (ASVS 13.4.1 to 13.4.6, 3.4.4, 3.4.6): nothing is shown or allowed that need not be', async () => {
  const paths = [
    '/.git/config',
    '/.git/HEAD',
    '/.env',
    '/package.json',
    '/dist/floodgate.cjs',
    '/../package.json',
    '/debug',
    '/admin',
  ];
  paths.push(
    '/docs/',
    '/docs/../package.json',
    '/docs/package.json',
    '/docs/..%2fpackage.json',
    '/server-status',
    '/graphql',
  );
  for (const path of paths) {
    const { status, text } = await anyone.get(path);
    expect([
      path,
      status === 404 || status === 400 || path === '/docs/',
      /"dependencies"|\[core\]|Index of/.test(text),
    ]).toEqual([path, true, false]);
  }
  const answers = [
    await anyone.get('/api/v1/data'),
    await anyone.get('/nowhere'),
    await anyone.get('/api/v1/users/me'),
    await anyone.send('PURGE', '/api/v1/data', undefined),
    await anyone.get('/api/v1/data', { origin: 'https://evil.example.com' }),
    await anyone.send('OPTIONS', '/api/v1/data', undefined, {
      origin: 'https://evil.example.com',
      'access-control-request-method': 'GET',
    }),
  ];
  for (const { headers } of answers) {
    for (const name of [
      'server',
      'x-powered-by',
      'access-control-allow-origin',
      'access-control-allow-credentials',
      'set-cookie',
    ])
      expect([name, headers.get(name)]).toEqual([name, null]);
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('content-security-policy')).toMatch(/frame-ancestors 'none'/);
    expect(headers.get('strict-transport-security')).toMatch(/max-age=31536000; includeSubDomains/);
  }
  const { headers } = await anyone.post('/api/v1/auth/login', ADMIN);
  expect(headers.get('cache-control')).toBe('no-store');
});

it('API9:2023 Improper Inventory Management (ASVS 13.4.5): what is served is what openapi.json names, in one version', async () => {
  const own = await createDatabase();
  const app = await createApp(loadConfig(testEnvironment(own.url)));
  const tree = (app.nest.getHttpAdapter().getInstance() as FastifyInstance).printRoutes({ commonPrefix: false });
  await app.stop();
  await own.drop();
  const steps: string[] = [];
  const served = tree
    .trimEnd()
    .split('\n')
    .map((line) => {
      const [, indent = '', step = ''] = /^((?:[│ ] {3})*)[├└]── (\S+)/.exec(line) ?? [];
      steps.splice(indent.length / 4, steps.length, step);
      return steps.join('').replace(/:(\w+)/g, '{$1}');
    });
  const documented = new Set(operations.map(({ path }) => path));
  const pages = served.filter((path) => path === '/openapi.json' || path === '/docs' || path.startsWith('/docs/'));
  expect(served.filter((path) => !pages.includes(path)).sort()).toEqual([...documented].sort());
  for (const version of [
    '/api',
    '/api/v0/data',
    '/api/v2/data',
    '/api/data',
    '/v1/data',
    '/api/beta/data',
    '/internal',
  ])
    must(404, await anyone.get(version));
  // And each path takes the methods that are named, and no other.
  for (const path of documented)
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'PURGE', 'QUERY']) {
      if (operations.some((operation) => operation.path === path && operation.method === method)) continue;
      const { status } = await admin.send(
        method,
        path.replace('{collection}', 'x').replace('{id}', admin.userId),
        undefined,
        ANY,
      );
      expect([method, path, status]).toEqual([method, path, 405]);
    }
});

it('API10:2023 Unsafe Consumption of APIs (ASVS 15.3.2, 16.5.2): what Redis and a collector of traces answer is not believed', async () => {
  const redis = await TestRedis.start();
  const away = { location: baitUrl };
  const collector = createServer((_, response) => response.writeHead(307, away).end('x'.repeat(100_000)));
  await once(collector.listen(0, '127.0.0.1'), 'listening');
  const { port } = collector.address() as AddressInfo;
  let exports = 0;
  collector.on('request', () => exports++);
  try {
    const tracing = { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`, OTEL_BSP_SCHEDULE_DELAY: '20' };
    const shared = { REDIS_URL: redis.url, REDIS_TIMEOUT_MS: '2000', ...tracing };
    const here = await start(shared);
    await untilHeard();
    const eve = await signUp(here, 'eve');
    const set = await makeCollection(eve, 'public', 'kept');
    const garbage = ['', 'null', '{}', '[]', '1', '{"value":', 'x'.repeat(1000), '{"__proto__":{"value":{}}}'];
    const paths: string[] = [];
    for (const [i] of garbage.entries()) {
      const { path } = await makeRecord(eve, set, { kept: i });
      must(200, await here.get(path));
      paths.push(path);
    }
    await pause(200);
    for (const [i, value] of garbage.entries()) await redis.command('SET', `floodgate1:${paths[i]}`, value, 'XX');
    expect((await redis.command('KEYS', 'floodgate1:/*')).split(',')).toHaveLength(garbage.length);
    // A process that has nothing in memory asks Redis for all.
    const there = await start(shared);
    await untilHeard();
    for (const [i, path] of paths.entries())
      expect([garbage[i], must(200, await there.get(path)).body.data]).toEqual([garbage[i], { kept: i }]);
    await pause(300);
    expect(exports).toBeGreaterThan(0);
    expect(bitten).toBe(0);
  } finally {
    collector.close();
    collector.closeAllConnections();
    await redis.kill();
  }
}, 60_000);
