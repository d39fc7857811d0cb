import type { Client } from '../support/client.js';
import { makeCollection, makeRecord, must } from '../support/collections.js';
import { memberNames, operations, pathOf } from '../support/operations.js';
import { TestRedis } from '../support/redis.js';
import { ANY, type Deployment, deploy, PASSWORD, signUp } from './deployment.js';

const NDJSON = { 'content-type': 'application/x-ndjson' };

let { anyone, admin, ada, bob, start, close } = {} as Deployment;
beforeAll(async () => {
  ({ anyone, admin, ada, bob, start, close } = await deploy());
}, 60_000);
afterAll(() => close?.());

it("API1:2023 Broken Object Level Authorization (ASVS 8.2.2): nothing of another's is reached by way of one's own", async () => {
  const [his, hers] = [await makeCollection(bob, 'private'), await makeCollection(ada, 'private')];
  const { id, path } = await makeRecord(ada, hers, { secret: true });
  await makeRecord(ada, hers);
  for (const method of ['GET', 'PUT', 'PATCH', 'DELETE']) {
    const body = method === 'PUT' || method === 'PATCH' ? { data: {} } : undefined;
    expect([method, (await bob.send(method, `${his.records}/${id}`, body, ANY)).status]).toEqual([method, 404]);
  }
  for (const at of [path, hers.path, hers.records, `${hers.records}/export`, `${hers.path}/stats`])
    expect([at, (await bob.get(at)).status]).toEqual([at, 404]);
  // What anyone may read, only she may change.
  const shown = await makeCollection(ada);
  const one = await makeRecord(ada, shown, { secret: false });
  const changes: [method: string, path: string, body?: unknown][] = [
    ...(['PUT', 'PATCH'] as const).map((method): [string, string, unknown] => [method, one.path, { data: {} }]),
    ['DELETE', one.path],
    ['POST', shown.records, { data: {} }],
    ['POST', `${shown.records}/bulk`, [{ data: {} }]],
    ['PUT', shown.path, { visibility: 'private' }],
    ['DELETE', shown.path],
  ];
  for (const [method, at, body] of changes)
    expect([method, at, (await bob.send(method, at, body, ANY)).status]).toEqual([method, at, 403]);
  expect(must(200, await bob.get(shown.records)).body.items).toEqual([must(200, await bob.get(one.path)).body]);
  expect(must(200, await bob.get(one.path)).body).toMatchObject({ data: { secret: false }, version: 1 });
  const { nextCursor } = must(200, await ada.get(`${hers.records}?limit=1`)).body;
  must(400, await bob.get(`${his.records}?limit=1&cursor=${nextCursor}`));
  // The same Idempotency-Key of two callers is two keys.
  const keyed = { 'idempotency-key': 'the-same' };
  const made = must(201, await ada.post(hers.records, { data: { secret: true } }, keyed));
  const other = must(201, await bob.post(his.records, { data: { secret: true } }, keyed));
  expect([other.body.id === made.body.id, other.headers.get('idempotency-replayed')]).toEqual([false, null]);
  expect(must(200, await ada.get(path)).body.data).toEqual({ secret: true });
});

it('API2:2023 Broken Authentication (ASVS 6.3.1, 10.4.5): passwords are not to be tried out, nor tokens used again', async () => {
  const limited = await start({ LOGIN_LIMIT: '4', AUTH_LIMIT_WINDOW_S: '3600' });
  const login = (password: string) => limited.post('/api/v1/auth/login', { email: 'ada@example.com', password });
  for (let i = 0; i < 4; i++) must(401, await login(`guess-${i}`));
  expect(must(429, await login(PASSWORD)).headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
  // Whoever guesses keeps nobody else from signing in: the limit is that of the address with the email.
  must(200, await limited.post('/api/v1/auth/login', { email: 'bob@example.com', password: PASSWORD }));
  const refresh = (refreshToken: string) => anyone.post('/api/v1/auth/refresh', { refreshToken });
  const first = (await signUp(anyone, 'carl')).tokens?.refreshToken as string;
  const second = must(200, await refresh(first)).body.refreshToken;
  const third = must(200, await refresh(second)).body.refreshToken;
  must(401, await refresh(first));
  must(401, await refresh(third));
});

it('API3:2023 Broken Object Property Level Authorization (ASVS 8.2.3, 15.3.3): no member is taken that is not asked for', async () => {
  const set = await makeCollection(bob);
  const values = { collection: set.name, id: (await makeRecord(bob, set)).id };
  const extra = [...memberNames, 'passwordHash', 'ownerId', 'isAdmin', 'owner_id', 'sessionId', 'seed', 'createdBy'];
  let tried = 0;
  for (const operation of operations.filter(({ input }) => input?.properties)) {
    const known = Object.keys(operation.input?.properties ?? {});
    const path = pathOf(operation, operation.path.includes('/users/') ? { id: bob.userId } : values);
    for (const name of extra.filter((one) => !known.includes(one))) {
      const body = { ...(operation.body as object), [name]: name === 'role' ? 'admin' : true };
      const { status, body: problem } = await bob.send(operation.method, path, body, ANY);
      const [mistake] = problem.errors ?? [];
      expect([operation.id, name, status, mistake?.pointer]).toEqual([operation.id, name, 400, `/${name}`]);
      tried++;
    }
  }
  expect(tried).toBeGreaterThan(150);
  // What only admins may set, users may not, not even as it is.
  for (const body of [{ role: 'admin' }, { role: 'user' }, { disabled: false }])
    must(403, await bob.patch(`/api/v1/users/${bob.userId}`, body, ANY));
  const shown = ['createdAt', 'disabled', 'email', 'id', 'name', 'role', 'updatedAt', 'version'];
  const { body } = must(200, await admin.get('/api/v1/users'));
  for (const user of [...body.items, must(200, await bob.get('/api/v1/users/me')).body])
    expect(Object.keys(user).sort()).toEqual(shown);
});

it('API4:2023 Unrestricted Resource Consumption (ASVS 2.4.1, 15.2.2): all that a caller may ask for has an end', async () => {
  const small = { BODY_LIMIT_BYTES: '2000', BULK_LIMIT_BYTES: '4000', RECORD_LIMIT_BYTES: '1000' };
  const limited = await start(small);
  const dora = await signUp(limited, 'dora');
  const { records } = await makeCollection(dora, 'public', 'small');
  for (let i = 0; i < 110; i += 10)
    must(
      200,
      await dora.post(
        `${records}/bulk`,
        Array.from({ length: 10 }, () => ({ data: { x: 1 } })),
      ),
    );
  expect(must(200, await dora.get(`${records}?limit=100000`)).body.items).toHaveLength(100);
  must(413, await dora.post(records, { data: { x: 'x'.repeat(1100) } }));
  must(413, await dora.post(records, { data: { x: 'x'.repeat(3000) } }));
  must(413, await dora.post(`${records}/bulk`, `${'{"data":{}}\n'.repeat(500)}`, NDJSON));
  must(400, await limited.get(`${records}?${'a=1&'.repeat(200)}`));
  must(400, await limited.get(`${records}?where=${encodeURIComponent(`${'{"a":'.repeat(40)}1${'}'.repeat(40)}`)}`));
  must(400, await limited.post('/api/v1/auth/login', { email: 'a@b.cd', password: 'x'.repeat(129) }));
  const few = await start({ RATE_LIMIT_REQUESTS: '5', RATE_LIMIT_WINDOW_S: '3600' });
  for (let i = 0; i < 5; i++) must(200, await few.get('/api/v1/data'));
  must(429, await few.get('/api/v1/data'));
});

it('API5:2023 Broken Function Level Authorization (ASVS 8.2.1, 4.1.4): no other way leads to what is for admins', async () => {
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

it('API6:2023 Unrestricted Access to Sensitive Business Flows (ASVS 2.4.1): a script does not register as many as it likes', async () => {
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
