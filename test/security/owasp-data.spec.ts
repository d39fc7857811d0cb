import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { makeCollection, makeRecord, must } from '../support/collections.js';
import { pause } from '../support/process.js';
import { TestRedis } from '../support/redis.js';
import { untilHeard } from '../support/replicas.js';
import { NDJSON } from '../support/uploads.js';
import { Bait } from './bait.js';
import { ANY, type Deployment, deploy, signUp } from './deployment.js';

let { ada, bob, start, close } = {} as Deployment;
beforeAll(async () => {
  ({ ada, bob, start, close } = await deploy());
}, 60_000);
afterAll(() => close());

it("API1:2023 Broken Object Level Authorization (ASVS 8.2.2): another user's data cannot be reached through one's own", async () => {
  const [his, hers] = [await makeCollection(bob, 'private'), await makeCollection(ada, 'private')];
  const { id, path } = await makeRecord(ada, hers, { secret: true });
  await makeRecord(ada, hers);
  for (const method of ['GET', 'PUT', 'PATCH', 'DELETE']) {
    const body = method === 'PUT' || method === 'PATCH' ? { data: {} } : undefined;
    expect([method, (await bob.send(method, `${his.records}/${id}`, body, ANY)).status]).toEqual([method, 404]);
  }
  for (const at of [path, hers.path, hers.records, `${hers.records}/export`, `${hers.path}/stats`])
    expect([at, (await bob.get(at)).status]).toEqual([at, 404]);
  // Anyone may read these, but only the owner may change them.
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
  // One Idempotency-Key of two callers counts as two keys.
  const keyed = { 'idempotency-key': 'the-same' };
  const made = must(201, await ada.post(hers.records, { data: { secret: true } }, keyed));
  const other = must(201, await bob.post(his.records, { data: { secret: true } }, keyed));
  expect([other.body.id === made.body.id, other.headers.get('idempotency-replayed')]).toEqual([false, null]);
  expect(must(200, await ada.get(path)).body.data).toEqual({ secret: true });
});

it('API4:2023 Unrestricted Resource Consumption (ASVS 2.4.1, 15.2.2): everything that a caller may request is bounded', async () => {
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

it('API10:2023 Unsafe Consumption of APIs (ASVS 15.3.2, 16.5.2): answers of Redis and of a collector of traces are not trusted', async () => {
  const [redis, bait] = [await TestRedis.start(), await Bait.start()];
  const away = { location: bait.url };
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
    // A process with an empty cache asks Redis for everything.
    const there = await start(shared);
    await untilHeard();
    for (const [i, path] of paths.entries())
      expect([garbage[i], must(200, await there.get(path)).body.data]).toEqual([garbage[i], { kept: i }]);
    await pause(300);
    expect(exports).toBeGreaterThan(0);
    expect(bait.bitten).toBe(0);
  } finally {
    bait.close();
    collector.close();
    collector.closeAllConnections();
    await redis.kill();
  }
}, 60_000);
