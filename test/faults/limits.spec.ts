import type { Socket } from 'node:net';
import { type MadeCollection, makeCollection, must, readAll, until } from '../support/collections.js';
import { exchange } from '../support/exchange.js';
import { limit } from '../support/limit.js';
import { pause } from '../support/process.js';
import { openSocket, readAnswer } from '../support/raw.js';
import { type Single, startSingle } from '../support/single.js';
import { NDJSON } from '../support/uploads.js';

const LOGIN = '/api/v1/auth/login';
const statusOf = (received: string) => Number(/^HTTP\/1\.1 (\d{3})/.exec(received)?.[1]);

let one: Single;
let set: MadeCollection;
beforeAll(async () => {
  one = await startSingle();
  set = await makeCollection(one.admin);
}, 60_000);
afterEach(() => one.expectUnharmed());
afterAll(() => one?.close());

const get = async (path: string, headers = '') =>
  statusOf(await exchange(one.url, `GET ${path} HTTP/1.1\r\nHost: x\r\n${headers}\r\n`));

limit('MAX_HEADER_BYTES', async () => {
  expect(await get('/health/live', `X-A: ${'a'.repeat(16_000)}\r\n`)).toBe(200);
  expect(await get('/health/live', `X-A: ${'a'.repeat(16_384)}\r\n`)).toBe(431);
  expect(await get(`/health/live?${'a'.repeat(16_384)}`)).toBe(431);
});

limit('headers of a request', async () => {
  expect(await get('/health/live', 'a:\r\n'.repeat(998))).toBe(200);
  expect(await get('/health/live', 'a:\r\n'.repeat(1000))).toBe(431);
});

limit('MAX_PARAM_LENGTH', async () => {
  // A collection's name, too, is checked only by a pattern.
  expect(await get(`/api/v1/data/${'a'.repeat(200)}`)).toBe(400);
  expect(await get(`/api/v1/data/${'a'.repeat(201)}`)).toBe(414);
});

limit('MAX_QUERY_PARAMETERS', async () => {
  const parameters = (count: number) => Array.from({ length: count }, (_, i) => `p${i}=1`).join('&');
  expect(await get(`/health/live?${parameters(100)}`)).toBe(200);
  expect(await get(`/health/live?${parameters(101)}`)).toBe(400);
});

limit('LONGEST_LIST', async () => {
  const types = (length: number) => `Accept: ${'text/html,'.repeat(200).slice(0, length)}\r\n`;
  expect(await get(set.path, types(1000))).toBe(406);
  expect(await get(set.path, types(1001))).toBe(200);
});

limit('BODY_LIMIT_BYTES', async () => {
  const body = (bytes: number) => '{"email":"a@example.com","password":"wrong"}'.padEnd(bytes);
  expect((await one.anyone.post(LOGIN, body(1_048_576))).status).toBe(401);
  expect((await one.anyone.post(LOGIN, body(1_048_577))).status).toBe(413);
});

limit('BULK_LIMIT_BYTES', async () => {
  const upload = (bytes: number) => {
    const head = `POST ${set.records}/bulk HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${one.admin.tokens?.accessToken}\r\n`;
    const socket = openSocket(one.url);
    const answer = readAnswer(socket, 1500).then(
      ({ status }) => status,
      () => 'waits for it',
    );
    socket.write(`${head}Content-Type: application/x-ndjson\r\nContent-Length: ${bytes}\r\n\r\n`);
    return answer;
  };
  expect(await Promise.all([upload(67_108_864), upload(67_108_865)])).toEqual(['waits for it', 413]);
});

limit('RECORD_LIMIT_BYTES', async () => {
  const data = (bytes: number) => ({ x: 'x'.repeat(bytes - '{"x":""}'.length) });
  expect((await one.admin.post(set.records, { data: data(65_536) })).status).toBe(201);
  expect((await one.admin.post(set.records, { data: data(65_537) })).status).toBe(413);
  const lines = [JSON.stringify({ data: data(65_537) }), '{"data":{}}'].join('\n');
  const { body } = must(200, await one.admin.post(`${set.records}/bulk`, lines, NDJSON));
  expect(body).toMatchObject({ inserted: 1, failed: 1 });
});

limit('PAGE_BYTES', async () => {
  const { records } = await makeCollection(one.admin);
  const lines = Array.from({ length: 40 }, (_, n) => JSON.stringify({ data: { n, x: 'x'.repeat(60_000) } }));
  must(200, await one.admin.post(`${records}/bulk`, lines.join('\n'), NDJSON));
  const page = async (limit: number) => must(200, await one.anyone.get(`${records}?limit=${limit}`)).body;
  expect((await page(20)).items.length).toBe(20);
  const { items, nextCursor } = await page(100);
  expect([items.length, typeof nextCursor]).toEqual([17, 'string']);
  for (const order of ['asc', 'desc']) {
    const all = await readAll<{ id: string; data: { n: number } }>(one.anyone, `${records}?limit=100&order=${order}`);
    expect(new Set(all.map(({ id }) => id)).size).toBe(40);
    expect(all.length).toBe(40);
  }
});

limit('MAX_PIPELINED', async () => {
  const login = '{"email":"a@example.com","password":"wrong"}';
  const post = (path: string, body: string) =>
    `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  const answered = async (requests: string[]) => {
    const socket = openSocket(one.url);
    let received = '';
    socket.on('data', (chunk) => {
      received += chunk;
    });
    // The first request takes a while.
    const last = 'GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';
    socket.write([post(LOGIN, login), ...requests, last].join(''));
    await new Promise((resolve) => socket.once('close', resolve));
    return received.match(/HTTP\/1\.1 \d{3}/g)?.length ?? 0;
  };
  const times = (count: number, request: string) => Array.from({ length: count }, () => request);
  const short = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';
  expect(await answered(times(1900, short))).toBe(1902);
  expect(await answered(times(4000, short))).toBeLessThan(2001);
  // A request with a body counts as several.
  const long = post('/api/v1/auth/logout', '{"refreshToken":"x"}');
  expect(await answered(times(50, long))).toBe(52);
  expect(await answered(times(70, long))).toBeLessThan(64);
});

limit('MAX_DECIMALS', async () => {
  const data = (decimals: number) => `{"data":{"n":0.${'1'.repeat(decimals)}}}`;
  expect((await one.admin.post(set.records, data(400))).status).toBe(201);
  expect((await one.admin.post(set.records, data(401))).status).toBe(400);
});

limit('extensions of a chunk', async () => {
  const chunked = (length: number) =>
    exchange(
      one.url,
      `POST ${LOGIN} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2;${'a'.repeat(length)}\r\n{}\r\n0\r\n\r\n`,
    );
  // Both are refused, but the first one for its content.
  expect(await chunked(16_000)).toContain('"errors":');
  expect(await chunked(16_400)).toMatch(/^HTTP\/1\.1 400 [\s\S]*not a valid HTTP request/);
});

limit('MAX_DEPTH', async () => {
  const nested = (depth: number) => `{"data":${'{"a":'.repeat(depth - 2)}{}${'}'.repeat(depth - 2)}}`;
  expect((await one.admin.post(set.records, nested(32))).status).toBe(201);
  expect((await one.admin.post(set.records, nested(33))).status).toBe(400);
});

limit('MOST_MISTAKES', async () => {
  const unknown = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`unknown${i}`, 1]));
  const { status, body } = await one.anyone.post(LOGIN, unknown);
  expect([status, body.errors.length]).toEqual([400, 100]);
});

limit('ERRORS_REPORTED', async () => {
  const { body } = must(200, await one.admin.post(`${set.records}/bulk`, '[]\n'.repeat(3000), NDJSON));
  expect([body.failed, body.errors.length]).toEqual([3000, 1000]);
});

limit('MAX_BODIES', async () => {
  const { tokens } = await one.user();
  const begin = (token: string) => {
    const socket = openSocket(one.url);
    socket.write(
      `POST ${LOGIN} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n `,
    );
    return socket;
  };
  const other = begin(String(one.admin.tokens?.accessToken));
  const sockets: Socket[] = [];
  for (let i = 0; i < 100; i++) {
    sockets.push(begin(String(tokens?.accessToken)));
    // The first one must arrive first.
    if (i === 0) await pause(300);
  }
  await pause(500);
  const [first] = sockets as [Socket];
  expect([other, ...sockets].map(({ bytesRead }) => bytesRead)).toEqual(Array(101).fill(0));
  const answer = readAnswer(first);
  sockets.push(begin(String(tokens?.accessToken)));
  expect((await answer).status).toBe(503);
  expect([other, ...sockets.slice(1)].map(({ bytesRead }) => bytesRead)).toEqual(Array(101).fill(0));
  for (const socket of [other, ...sockets]) socket.destroy();
});

limit('PASSWORD_HASH_CONCURRENCY', async () => {
  // Two are hashed at once and 64 wait: of a hundred together, some must be refused, and 66 are not.
  const tries = Array.from({ length: 100 }, () =>
    one.anyone.post(LOGIN, { email: 'a@example.com', password: 'wrong' }),
  );
  const statuses = (await Promise.all(tries)).map(({ status }) => status);
  const hashed = statuses.filter((status) => status === 401).length;
  expect(hashed + statuses.filter((status) => status === 503).length).toBe(100);
  expect(hashed).toBeGreaterThanOrEqual(66);
  expect(hashed).toBeLessThan(100);
});

limit('STREAM_CONCURRENCY', async () => {
  const lines = Array.from({ length: 600 }, () => JSON.stringify({ data: { text: 'x'.repeat(30_000) } })).join('\n');
  must(200, await one.admin.post(`${set.records}/bulk`, lines, NDJSON));
  const begin = () => {
    const socket = openSocket(one.url);
    socket.write(`GET ${set.records}/export HTTP/1.1\r\nHost: x\r\n\r\n`);
    return new Promise<[Socket, number]>((resolve) => {
      socket.once('data', (chunk) => resolve([socket.pause(), statusOf(chunk.toString('latin1'))]));
    });
  };
  const [first, second] = await Promise.all([begin(), begin()]);
  const third = await begin();
  expect([first[1], second[1], third[1]]).toEqual([200, 200, 503]);
  for (const [socket] of [first, second, third]) socket.destroy();
  await until(async () => (await one.anyone.get(`${set.records}/export?to=2001-01-01T00:00:00Z`)).status === 200);
});
