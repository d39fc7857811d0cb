import { once } from 'node:events';
import type { Socket } from 'node:net';
import { type MadeCollection, makeCollection, must } from '../support/collections.js';
import { exchange } from '../support/exchange.js';
import { limit } from '../support/limit.js';
import { pause } from '../support/process.js';
import { openSocket } from '../support/raw.js';
import { type Single, startSingle } from '../support/single.js';
import { figuresOf } from '../support/watch.js';

const LOGIN = '/api/v1/auth/login';
const statusOf = (received: string) => Number(/^HTTP\/1\.1 (\d{3})/.exec(received)?.[1]);

const MOST = 40;
let one: Single;
let set: MadeCollection;
beforeAll(async () => {
  one = await startSingle({
    HEADERS_TIMEOUT_MS: '1000',
    REQUEST_TIMEOUT_MS: '1500',
    KEEP_ALIVE_TIMEOUT_MS: '1500',
    MAX_CONNECTIONS: String(MOST),
    MAX_REQUESTS_PER_CONNECTION: '3',
    BODY_MEMORY_BYTES: '1048576',
    ADMISSION_MAX_REQUESTS: '10',
    ADMISSION_WAIT_MS: '700',
    PASSWORD_HASH_CONCURRENCY: '1',
    PASSWORD_HASH_QUEUE: '1',
    CACHE_MEMORY_BYTES: '1048576',
    FEED_LISTENERS: '3',
    FEED_LISTENERS_PER_CALLER: '2',
    RECORD_LIMIT_BYTES: '1048576',
    DATABASE_LOCK_TIMEOUT_MS: '5000',
  });
  set = await makeCollection(one.admin);
}, 60_000);
afterEach(() => one.expectUnharmed());
afterAll(() => one?.close());

/** Opens a connection that sends these bytes; `closed` resolves with the received text and the time until then, in ms. */
function open(bytes: string): { socket: Socket; closed: Promise<[received: string, ms: number]> } {
  const socket = openSocket(one.url);
  const begun = Date.now();
  let received = '';
  socket.on('data', (chunk) => {
    received += chunk.toString('latin1');
  });
  if (bytes !== '') socket.write(bytes);
  return {
    socket,
    closed: new Promise((resolve) => socket.on('close', () => resolve([received, Date.now() - begun]))),
  };
}
const LIVE = 'GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n';
const begunBody = (bytes: number, sent: number, token = '') =>
  `POST ${LOGIN} HTTP/1.1\r\nHost: x\r\n${token}Content-Type: application/json\r\nContent-Length: ${bytes}\r\n\r\n${' '.repeat(sent)}`;

limit('HEADERS_TIMEOUT_MS', async () => {
  const [received, ms] = await open('GET / HTTP/1.1\r\nHost: x\r\n').closed;
  expect([statusOf(received), ms >= 1000, ms < 5000]).toEqual([408, true, true]);
});

limit('REQUEST_TIMEOUT_MS', async () => {
  const [received, ms] = await open(begunBody(100, 10)).closed;
  expect([statusOf(received), ms >= 1500, ms < 6000]).toEqual([408, true, true]);
});

limit('KEEP_ALIVE_TIMEOUT_MS', async () => {
  const [received, ms] = await open(LIVE).closed;
  expect([statusOf(received), ms >= 1500, ms < 6000]).toEqual([200, true, true]);
});

limit('MAX_REQUESTS_PER_CONNECTION', async () => {
  for (const line of [LIVE, `GET ${set.path} HTTP/1.1\r\nHost: x\r\n\r\n`]) {
    // Five requests are sent; the third answer announces that it is the last, and is.
    const [received] = await open(line.repeat(5)).closed;
    const answers = received.split(/(?=HTTP\/1\.1 )/);
    expect(answers.map((answer) => [statusOf(answer), /^connection: close/im.test(answer)])).toEqual([
      [200, false],
      [200, false],
      [200, true],
    ]);
  }
});

limit('MAX_CONNECTIONS', async () => {
  const kept = open(LIVE);
  await once(kept.socket, 'data');
  const some = (count: number) => Array.from({ length: count }, () => open('GET / HTTP/1.1\r\n'));
  const first = some(MOST);
  await Promise.all(first.map(({ socket }) => once(socket, 'connect')));
  // Connections are accepted in any order, one for each acceptor and turn of the server's event loop: this makes as many turns.
  for (let i = 0; i < first.length; i++) expect(statusOf(await exchange(one.url, LIVE))).toBe(200);
  const silent = [...first, ...some(2 * MOST)];
  const ends = await Promise.all(silent.map(({ closed }) => Promise.race([closed, pause(900)])));
  // The first ones were closed without an answer to make room for the last ones; the connection with an answer stayed open.
  const gone = ends.filter((end) => end !== undefined && end[0] === '');
  expect(gone.length).toBeGreaterThanOrEqual(2 * MOST);
  expect(ends.slice(0, MOST).every((end) => end !== undefined)).toBe(true);
  expect(kept.socket.destroyed).toBe(false);
  // On a connection of its own: the client's may be among the closed ones.
  expect(statusOf(await exchange(one.url, LIVE))).toBe(200);
  // When all have been answered, an idle one is closed.
  for (const { socket } of silent) socket.destroy();
  await pause(200);
  const idle = [];
  for (let i = 0; i < MOST + 10; i++) {
    const one = open(LIVE);
    await once(one.socket, 'data');
    idle.push(one);
  }
  expect(statusOf(await exchange(one.url, LIVE))).toBe(200);
  for (const { socket } of [...idle, kept]) socket.destroy();
  await pause(200);
  // When all have been answered and send again, the first one without a token is closed, and then the first one with a token.
  const { tokens } = await one.user();
  const again = async (token: string) => {
    const one = open(LIVE);
    await once(one.socket, 'data');
    one.socket.write(begunBody(500, 100, token));
    return one;
  };
  const known = await again(`Authorization: Bearer ${tokens?.accessToken}\r\n`);
  const strangers = [];
  while (strangers.length < MOST - 1) strangers.push(await again(''));
  await pause(200);
  for (let i = 0; i < MOST - 1; i++) strangers.push(await again(''));
  await pause(200);
  expect(strangers.map(({ socket }) => socket.destroyed)).toEqual(strangers.map((_, i) => i < MOST - 1));
  expect(known.socket.destroyed).toBe(false);
  for (const { socket } of [...strangers, known]) socket.destroy();
  await pause(200);
});

limit('BODY_MEMORY_BYTES', async () => {
  const [small, large] = (await Promise.all([one.user(), one.user()])).map(
    ({ tokens }) => `Authorization: Bearer ${tokens?.accessToken}\r\n`,
  );
  const begin = async (...bodies: string[]) => {
    const all = [];
    for (const body of bodies) {
      all.push(open(body));
      await pause(100);
    }
    return Promise.all(all.map(({ closed }) => closed));
  };
  const body = begunBody(500_000, 400_000, large);
  const answers = await begin(begunBody(500_000, 300_000, small), body, body, body);
  // There is room for two of them. The first to be refused are the oldest of the user with the most.
  expect(answers.map(([received]) => statusOf(received))).toEqual([408, 503, 503, 408]);
  expect(answers[1]?.[0]).toMatch(/^retry-after: 1/im);
  expect(answers[1]?.[1]).toBeLessThan(1000);
  // Callers without a token share a quarter of it.
  const strangers = await begin(begunBody(500_000, 150_000), begunBody(500_000, 150_000), begunBody(500_000, 150_000));
  expect(strangers.map(([received]) => statusOf(received))).toEqual([503, 503, 408]);
  expect((await one.anyone.post('/api/v1/auth/logout', { refreshToken: 'x'.padEnd(200) })).status).toBe(204);
});

limit('LINGER_MS', async () => {
  const answered = begunBody(500, 100, 'Authorization: Bearer junk\r\n');
  const [received, ms] = await open(answered).closed;
  expect([statusOf(received), /^connection: close/im.test(received)]).toEqual([401, false]);
  expect([ms >= 1400, ms < 6000]).toEqual([true, true]);
  // A caller whose rest arrives in time may go on.
  const { socket, closed } = open(answered);
  await once(socket, 'data');
  socket.write(`${' '.repeat(400)}${LIVE.replace('Host: x', 'Host: x\r\nConnection: close')}`);
  expect((await closed)[0]).toMatch(/^HTTP\/1\.1 401 .*HTTP\/1\.1 200 /s);
});

limit('PASSWORD_HASH_QUEUE', async () => {
  const tries = Array.from({ length: 4 }, () => one.anyone.post(LOGIN, { email: 'a@example.com', password: 'wrong' }));
  const statuses = (await Promise.all(tries)).map(({ status }) => status);
  expect(statuses.filter((status) => status === 503).length).toBeGreaterThanOrEqual(1);
  expect(statuses.filter((status) => status === 401).length).toBeGreaterThanOrEqual(2);
});

/** Makes PostgreSQL hold up creations of records, and sends this many of them. */
async function heldUp(count: number, look: () => Promise<void>): Promise<number[]> {
  const asked = one.database.query('BEGIN; LOCK TABLE records; SELECT pg_sleep(1.5); COMMIT').then(() => {});
  await pause(300);
  const creations = Array.from({ length: count }, () => one.admin.post(set.records, { data: {} }));
  await pause(300);
  await look();
  const statuses = (await Promise.all(creations)).map(({ status }) => status);
  await asked;
  return statuses;
}
const refused = (why: string) => `admission_refused_total{priority="write",reason="${why}"}`;

limit('ADMISSION_MAX_REQUESTS', async () => {
  const statuses = await heldUp(15, async () => {
    const figures = await figuresOf(one.anyone);
    expect(figures('admission_in_flight')).toBe(10);
    expect(figures('admission_queued')).toBeGreaterThan(0);
  });
  expect(statuses.filter((status) => status === 201).length).toBe(10);
});

limit('ADMISSION_WAIT_MS', async () => {
  const before = (await figuresOf(one.anyone))(refused('late'));
  const begun = Date.now();
  const statuses = await heldUp(12, async () => {});
  expect(Date.now() - begun).toBeGreaterThan(700);
  expect(statuses.filter((status) => status === 503).length).toBe(2);
  expect((await figuresOf(one.anyone))(refused('late'))).toBeGreaterThan(before);
});

limit('WAITING_PERCENT', async () => {
  // After the earlier refusals the queue is short for a while.
  await pause(1500);
  const before = (await figuresOf(one.anyone))(refused('full'));
  await heldUp(35, async () => {
    const figures = await figuresOf(one.anyone);
    expect(figures('admission_in_flight')).toBe(10);
    expect(figures('admission_queued')).toBe(5);
    expect(figures(refused('full')) - before).toBe(20);
    for (const probe of ['/health/live', '/health/ready', '/health/startup', '/metrics'])
      must(200, await one.anyone.get(probe));
    for (const path of ['/health/x', '/health/live/', '/health/live', '/metrics', '/metrics2'])
      must(503, await one.anyone.send('OPTIONS', path, undefined));
    must(503, await one.anyone.post('/health/live', {}));
  });
});

/** Opens a stream of changes. @returns the socket once the head is there, and its status */
async function listen(token = ''): Promise<{ socket: Socket; status: number }> {
  const socket = openSocket(one.url);
  socket.write(`GET ${set.path}/changes HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n${token}\r\n`);
  const [chunk] = await once(socket, 'data');
  return { socket, status: statusOf(chunk.toString('latin1')) };
}

limit('FEED_LISTENERS_PER_CALLER', async () => {
  const all = [await listen(), await listen(), await listen()];
  expect(all.map(({ status }) => status)).toEqual([200, 200, 429]);
  for (const { socket } of all) socket.destroy();
});

limit('FEED_LISTENERS', async () => {
  const token = `Authorization: Bearer ${one.admin.tokens?.accessToken}\r\n`;
  const all = [await listen(), await listen(), await listen(token), await listen(token)];
  expect(all.map(({ status }) => status)).toEqual([200, 200, 200, 503]);
  for (const { socket } of all) socket.destroy();
});

limit('CACHE_MEMORY_BYTES', async () => {
  const paths: string[] = [];
  for (let i = 0; i < 8; i++) {
    const made = must(201, await one.admin.post(set.records, { data: { text: 'x'.repeat(300_000) } }));
    paths.push(made.headers.get('location') as string);
  }
  const misses = async () => (await figuresOf(one.anyone))('cache_requests_total{result="miss"}');
  const [small = '', ...others] = paths;
  must(200, await one.anyone.get(small));
  const before = await misses();
  must(200, await one.anyone.get(small));
  expect(await misses()).toBe(before);
  for (const path of others) must(200, await one.anyone.get(path));
  const between = await misses();
  must(200, await one.anyone.get(small));
  expect(await misses()).toBeGreaterThan(between);
});
