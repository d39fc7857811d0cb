import { once } from 'node:events';
import type { Socket } from 'node:net';
import { ADMIN } from '../support/app.js';
import { etagOf, type MadeCollection, makeCollection, makeRecord, must } from '../support/collections.js';
import { exchange } from '../support/exchange.js';
import { endPrograms, pause } from '../support/process.js';
import { openSocket } from '../support/raw.js';
import { row } from '../support/row.js';
import { type Single, startSingle } from '../support/single.js';
import { NDJSON } from '../support/uploads.js';
import { descriptorsOf } from '../support/watch.js';

const PLACES = 10;
const BODIES_BYTES = 4_194_304;

interface Kind {
  name: string;
  head: string;
  body: string;
}

let one: Single;
let open: MadeCollection;
let kinds: Kind[];
beforeAll(async () => {
  one = await startSingle({
    ADMISSION_MAX_REQUESTS: String(PLACES),
    BODY_MEMORY_BYTES: String(BODIES_BYTES),
    DATABASE_LOCK_TIMEOUT_MS: '5000',
  });
  open = await makeCollection(one.admin);
  const hidden = await makeCollection(one.admin, 'private');
  const lines = Array.from({ length: 300 }, (_, n) => JSON.stringify({ data: { n, text: 'x'.repeat(30_000) } }));
  must(200, await one.admin.post(`${open.records}/bulk`, lines.join('\n'), NDJSON));
  const [{ path: shown, etag }, { path: secret }] = [
    await makeRecord(one.admin, open),
    await makeRecord(one.admin, hidden),
  ];
  const user = await one.user();
  const path = `/api/v1/users/${user.userId}`;
  const tag = etagOf(must(200, await user.get(path)));
  const token = `Authorization: Bearer ${one.admin.tokens?.accessToken}\r\n`;
  const get = (name: string, target: string, headers = token): Kind => ({
    name,
    head: `GET ${target} HTTP/1.1\r\nHost: x\r\n${headers}\r\n`,
    body: '',
  });
  const send = (name: string, method: string, target: string, body: string, headers = '', type = 'json'): Kind => ({
    name,
    head: `${method} ${target} HTTP/1.1\r\nHost: x\r\n${token}${headers}Content-Type: application/${type}\r\nContent-Length: ${body.length}\r\n\r\n`,
    body,
  });
  const record = JSON.stringify({ data: { text: 'x'.repeat(60_000) } });
  const upload = lines.slice(0, 20).join('\n');
  const key = (n: number) => `Idempotency-Key: reset-${n}\r\n`;
  kinds = [
    get('a kept record', shown, ''),
    get('a private record', secret),
    get('a collection', open.path, ''),
    get('a list', `${open.records}?limit=100`, ''),
    get('a list with where', `${open.records}?where=${encodeURIComponent('{"n":7}')}`),
    get('statistics', `${open.path}/stats?by=n`, ''),
    get('an export', `${open.records}/export`, ''),
    get('an export, compressed', `${open.records}/export`, 'Accept-Encoding: gzip\r\n'),
    get('users', '/api/v1/users'),
    get('a user', path),
    get('figures', '/metrics', 'Accept-Encoding: gzip\r\n'),
    get('a file', '/docs/swagger-ui-bundle.js', 'Accept-Encoding: br\r\n'),
    get('health', '/health/ready', ''),
    get('nothing', '/nothing', ''),
    send('creation', 'POST', open.records, record),
    send('creation with a key', 'POST', open.records, record, key(1)),
    send('a body that is too long for a record', 'POST', open.records, ' '.repeat(800_000)),
    send('replacement', 'PUT', shown, record, `If-Match: ${etag}\r\n`),
    send('a patch', 'PATCH', path, '{"name":"U"}', `If-Match: ${tag}\r\n`),
    send('a collection made', 'PUT', '/api/v1/data/made', '{"visibility":"public"}'),
    send('an upload', 'POST', `${open.records}/bulk`, upload, '', 'x-ndjson'),
    send('an upload with a key', 'POST', `${open.records}/bulk`, upload, key(2), 'x-ndjson'),
    send('an atomic upload', 'POST', `${open.records}/bulk?atomic=true`, upload, key(3), 'x-ndjson'),
    send('signing in', 'POST', '/api/v1/auth/login', JSON.stringify(ADMIN)),
    send('refreshing', 'POST', '/api/v1/auth/refresh', '{"refreshToken":"x"}'),
  ];
}, 60_000);
afterAll(endPrograms);

/** What a caller does before the reset. */
type Step = (socket: Socket, kind: Kind) => unknown;
const after =
  (ms: number): Step =>
  async (socket, { head, body }) => {
    socket.write(head + body);
    await pause(ms);
  };
const SLOW = '{"email":"nobody@example.com","password":"wrong"}';
const SLOW_REQUEST = `POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${SLOW.length}\r\n\r\n${SLOW}`;
const STEPS: Record<string, Step> = {
  'in the head': async (socket, { head }) => {
    socket.write(head.slice(0, 30));
    await pause(10);
  },
  'behind the head': async (socket, { head }) => {
    socket.write(head);
    await pause(10);
  },
  'in the body': async (socket, { head, body }) => {
    socket.write(head + body.slice(0, body.length / 2));
    await pause(30);
  },
  'at once': after(0),
  'after 3 ms': after(3),
  'after 30 ms': after(30),
  'behind a body in two pieces': async (socket, { head, body }) => {
    socket.write(head + body.slice(0, body.length / 2));
    await pause(60);
    socket.write(body.slice(body.length / 2));
    await pause(60);
  },
  'in the answer': async (socket, { head, body }) => {
    socket.write(head + body);
    await Promise.race([once(socket, 'data'), pause(1500)]);
  },
  'without having read': async (socket, { head, body }) => {
    socket.pause().write(head + body);
    await pause(200);
  },
  'behind another request': async (socket, { head, body }) => {
    socket.write(SLOW_REQUEST + head + body);
    await pause(20);
  },
};

async function reset(kind: Kind, step: Step): Promise<void> {
  const socket = openSocket(one.url);
  socket.on('data', () => {});
  await once(socket, 'connect');
  await step(socket, kind);
  socket.resetAndDestroy();
}

/** The figures of everything that is taken and given back, as far as they are not 0. */
async function inUse(): Promise<Record<string, number>> {
  const { text } = await one.anyone.get('/metrics');
  const found = [
    ...text.matchAll(
      /^((?:resources_in_use|admission_(?:in_flight|queued)|db_client_connection_(?:pending_requests|count\{[^}]*"used"\}))\S*) (\S+)$/gm,
    ),
  ];
  expect(found.length).toBeGreaterThan(12);
  return Object.fromEntries(found.map(([, name, value]) => [name, Number(value)]).filter(([, value]) => value !== 0));
}

async function expectNothingHeld(): Promise<void> {
  for (const end = Date.now() + 10_000; Date.now() < end && Object.keys(await inUse()).length > 0; ) await pause(100);
  expect(await inUse()).toEqual({});
  // A body of the largest size, in two pieces.
  const body = JSON.stringify({ refreshToken: 'x' }).padEnd(1_000_000);
  const head = `POST /api/v1/auth/logout HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${one.admin.tokens?.accessToken}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`;
  const answers = await Promise.all(Array.from({ length: 3 }, () => exchange(one.url, head + body)));
  expect(answers.map((answer) => answer.slice(9, 12))).toEqual(['204', '204', '204']);
  await one.expectUnharmed();
}

row(
  56,
  'admission empty',
  async () => {
    const descriptors = descriptorsOf(one.program);
    for (let round = 0; round < 3; round++)
      for (const kind of kinds) await Promise.all(Object.values(STEPS).map((step) => reset(kind, step)));
    await expectNothingHeld();
    expect(descriptorsOf(one.program)).toBeLessThan(descriptors + 30);
    return { kinds: kinds.length, steps: Object.keys(STEPS).length, 'in use afterwards': 0 };
  },
  120_000,
);

/** Fills all places for a while with creations that wait for a lock. */
async function whileFull(work: () => Promise<unknown>): Promise<void> {
  const held = one.database.query('BEGIN; LOCK TABLE records; SELECT pg_sleep(1); COMMIT').then(() => {});
  await pause(100);
  const creations = Array.from({ length: PLACES }, () => one.admin.post(open.records, { data: {} }));
  await pause(50);
  await work();
  await Promise.all([held, ...creations]);
}

row(
  56,
  'admission full',
  async () => {
    for (const kind of kinds) await whileFull(() => Promise.all(Object.values(STEPS).map((step) => reset(kind, step))));
    await expectNothingHeld();
    return { kinds: kinds.length, steps: Object.keys(STEPS).length, 'in use afterwards': 0 };
  },
  240_000,
);

row(
  56,
  'complete bodies while admission is full, repeatedly',
  async () => {
    const body = ' '.repeat(900_000);
    const head = `POST ${open.records} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${one.admin.tokens?.accessToken}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`;
    for (let round = 0; round < 8; round++) {
      const sockets = Array.from({ length: 4 }, () => openSocket(one.url));
      for (const socket of sockets) socket.write(head + body.slice(0, 450_000));
      await pause(100);
      await whileFull(async () => {
        for (const socket of sockets) socket.write(body.slice(450_000));
        await pause(150);
        for (const socket of sockets) socket.resetAndDestroy();
      });
    }
    await expectNothingHeld();
    return { bodies: 32, 'in use afterwards': 0 };
  },
  120_000,
);
