import { must } from '../support/answers.js';
import type { Client } from '../support/client.js';
import { bodyFor, callerFor, clientsAt, makeFor } from '../support/contracts.js';
import { memberNames, operations, pathOf } from '../support/operations.js';
import { TestRedis } from '../support/redis.js';
import { ANY, type Deployment, deploy, PASSWORD, signUp } from './deployment.js';

let { anyone, admin, bob, start, close } = {} as Deployment;
beforeAll(async () => {
  ({ anyone, admin, bob, start, close } = await deploy());
}, 60_000);
afterAll(() => close?.());

it('API2:2023 Broken Authentication (ASVS 6.3.1, 10.4.5): passwords cannot be guessed, and tokens cannot be reused', async () => {
  const limited = await start({ LOGIN_LIMIT: '4', AUTH_LIMIT_WINDOW_S: '3600' });
  const login = (password: string) => limited.post('/api/v1/auth/login', { email: 'ada@example.com', password });
  for (let i = 0; i < 4; i++) must(401, await login(`guess-${i}`));
  expect(must(429, await login(PASSWORD)).headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
  // Guessing does not keep others from signing in: the limit is for the address together with the email.
  must(200, await limited.post('/api/v1/auth/login', { email: 'bob@example.com', password: PASSWORD }));
  const refresh = (refreshToken: string) => anyone.post('/api/v1/auth/refresh', { refreshToken });
  const first = (await signUp(anyone, 'carl')).tokens?.refreshToken as string;
  const second = must(200, await refresh(first)).body.refreshToken;
  const third = must(200, await refresh(second)).body.refreshToken;
  must(401, await refresh(first));
  must(401, await refresh(third));
});

it('API3:2023 Broken Object Property Level Authorization (ASVS 8.2.3, 15.3.3): undocumented members are not accepted', async () => {
  const clients = await clientsAt(anyone);
  const extra = [...memberNames, 'passwordHash', 'ownerId', 'isAdmin', 'owner_id', 'sessionId', 'seed', 'createdBy'];
  let tried = 0;
  for (const operation of operations.filter(({ input }) => input?.properties)) {
    const known = Object.keys(operation.input?.properties ?? {});
    const thing = await makeFor(operation, clients);
    const [path, client] = [pathOf(operation, thing.values), callerFor(operation, clients, thing)];
    const body = (await bodyFor(operation, clients)) as object;
    for (const name of extra.filter((one) => !known.includes(one))) {
      const asked = { ...body, [name]: name === 'role' ? 'admin' : true };
      const { status, body: problem } = await client.send(operation.method, path, asked, ANY);
      const [mistake] = problem?.errors ?? [];
      expect([operation.id, name, status, mistake?.pointer]).toEqual([operation.id, name, 400, `/${name}`]);
      tried++;
    }
  }
  expect(tried).toBeGreaterThan(100);
  // Users may not set the fields of admins, not even to the current values.
  for (const body of [{ role: 'admin' }, { role: 'user' }, { disabled: false }])
    must(403, await bob.patch(`/api/v1/users/${bob.userId}`, body, ANY));
  const shown = ['createdAt', 'disabled', 'email', 'id', 'name', 'role', 'updatedAt', 'version'];
  const { body } = must(200, await admin.get('/api/v1/users'));
  for (const user of [...body.items, must(200, await bob.get('/api/v1/users/me')).body])
    expect(Object.keys(user).sort()).toEqual(shown);
});

it('API5:2023 Broken Function Level Authorization (ASVS 8.2.1, 4.1.4): no other path leads to routes for admins', async () => {
  const ways = [
    '/api/v1/users/',
    '/api/v1/users?',
    '/api/v1//users',
    '//api/v1/users',
    '/API/v1/Users',
    '/api/v1/users/.',
  ];
  ways.push(
    '/api/v1/users%2f',
    '/api/v1/users;x',
    '/api/v1/data/../users',
    '/api/v1/%75sers',
    '/api/v1/users%00',
    '/api/v1/users#',
  );
  const tricks: Record<string, string>[] = [
    {},
    { 'x-http-method-override': 'GET' },
    { 'x-original-url': '/api/v1/users', 'x-rewrite-url': '/api/v1/users' },
    { 'x-user-id': admin.userId, 'x-role': 'admin', 'x-forwarded-user': 'admin', cookie: 'role=admin' },
    { 'x-forwarded-for': '127.0.0.1', host: 'localhost' },
  ];
  for (const client of [anyone, bob])
    for (const way of ways)
      for (const headers of tricks)
        for (const method of ['GET', 'HEAD', 'POST', 'OPTIONS']) {
          const { status, text } = await client.send(method, way, undefined, headers);
          expect([way, method, headers, status >= 400, text.includes('@')]).toEqual([
            way,
            method,
            headers,
            true,
            false,
          ]);
        }
  const override = { ...ANY, 'x-http-method-override': 'DELETE' };
  must(405, await bob.post(`/api/v1/users/${bob.userId}`, {}, override));
  must(200, await bob.get('/api/v1/users/me'));
});

it('API6:2023 Unrestricted Access to Sensitive Business Flows (ASVS 2.4.1): a script cannot register any number of users', async () => {
  const redis = await TestRedis.start();
  try {
    const shared = { REDIS_URL: redis.url, REDIS_TIMEOUT_MS: '2000', REGISTER_LIMIT: '6', AUTH_LIMIT_WINDOW_S: '3600' };
    const replicas = [await start(shared), await start(shared)];
    const register = (i: number) => {
      const user = { email: `script${i}@example.com`, password: PASSWORD, name: 'Script' };
      return (replicas[i % 2] as Client).post('/api/v1/auth/register', user);
    };
    const statuses = (await Promise.all(Array.from({ length: 20 }, (_, i) => register(i)))).map(({ status }) => status);
    expect(statuses.filter((status) => status === 201)).toHaveLength(6);
    expect(statuses.filter((status) => status === 429)).toHaveLength(14);
  } finally {
    await redis.kill();
  }
});
