import type { FastifyInstance } from 'fastify';
import { createApp } from '../../src/app.js';
import { loadConfig } from '../../src/config.js';
import { must } from '../support/answers.js';
import { ADMIN, testEnvironment } from '../support/app.js';
import { bodyFor, callerFor, clientsAt, makeFor } from '../support/contracts.js';
import { createDatabase } from '../support/database.js';
import { operations, pathOf } from '../support/operations.js';
import { pause } from '../support/process.js';
import { Bait } from './bait.js';
import { ANY, type Deployment, deploy } from './deployment.js';

let { anyone, admin, close } = {} as Deployment;
let bait: Bait;
beforeAll(async () => {
  ({ anyone, admin, close } = await deploy());
  bait = await Bait.start();
}, 60_000);
afterAll(async () => {
  await close?.();
  bait?.close();
});

it('API7:2023 Server Side Request Forgery (ASVS 1.3.6): the app contacts no address that a caller names', async () => {
  const clients = await clientsAt(anyone);
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
  const headers = Object.fromEntries(named.map((name) => [name, bait.url]));
  for (const operation of operations) {
    const thing = await makeFor(operation, clients);
    const [path, client] = [pathOf(operation, thing.values), callerFor(operation, clients, thing)];
    const members = Object.keys(operation.input?.properties ?? {}).map((name) => [name, bait.url]);
    const bodies =
      operation.body === undefined
        ? [undefined]
        : [await bodyFor(operation, clients), Object.fromEntries(members), { data: { url: bait.url, $ref: bait.url } }];
    for (const body of bodies)
      for (const query of [
        '',
        `?url=${bait.url}&callback=${bait.url}`,
        `?where=${encodeURIComponent(JSON.stringify({ $ref: bait.url }))}`,
      ])
        await client.send(operation.method, path + query, body, headers);
    await client.send(operation.method, bait.url.replace('http://', '/'), undefined, headers);
  }
  await pause(300);
  expect(bait.bitten).toBe(0);
  // The bait notices a request.
  await fetch(bait.url);
  expect(bait.bitten).toBe(1);
});

it('API8:2023 Security Misconfiguration (ASVS 13.4.1 to 13.4.6, 3.4.4, 3.4.6): nothing unnecessary is shown or allowed', async () => {
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
    await anyone.get('/health/live'),
    await anyone.get('/nowhere'),
    await anyone.get('/api/v1/users/me'),
    await anyone.send('PURGE', '/api/v1/users', undefined),
    await anyone.get('/health/live', { origin: 'https://evil.example.com' }),
    await anyone.send('OPTIONS', '/api/v1/users', undefined, {
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

it('API9:2023 Improper Inventory Management (ASVS 13.4.5): exactly the routes of openapi.json are served, in one version', async () => {
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
  const pages = served.filter(
    (path) => ['/', '/openapi.json', '/docs', '/admin', '/admin*'].includes(path) || path.startsWith('/docs/'),
  );
  expect(served.filter((path) => !pages.includes(path)).sort()).toEqual([...documented].sort());
  for (const version of [
    '/api',
    '/api/v0/users',
    '/api/v2/users',
    '/api/users',
    '/v1/users',
    '/api/beta/users',
    '/internal',
  ])
    must(404, await anyone.get(version));
  // Each path has only the documented methods.
  for (const path of documented)
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'PURGE', 'QUERY']) {
      if (operations.some((operation) => operation.path === path && operation.method === method)) continue;
      const { status } = await admin.send(method, path.replace(/\{\w+\}/g, 'x'), undefined, ANY);
      expect([method, path, status]).toEqual([method, path, 405]);
    }
});
