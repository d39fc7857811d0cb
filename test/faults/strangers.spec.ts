import type { Socket } from 'node:net';
import { ADMIN } from '../support/app.js';
import type { Client } from '../support/client.js';
import { type MadeCollection, makeCollection } from '../support/collections.js';
import { endPrograms, pause } from '../support/process.js';
import { openSocket } from '../support/raw.js';
import { row } from '../support/row.js';
import { type Single, startSingle } from '../support/single.js';
import { figuresOf, inMiB } from '../support/watch.js';

const BODY_BYTES = 1_048_576;
/** A quarter of BODY_MEMORY_BYTES. */
const STRANGERS_BYTES = 8_388_608;
const BESIDE_MS = 8000;
const AT_ONCE = 90;
const tokenOf = ({ tokens }: Client) => String(tokens?.accessToken);

let one: Single;
let users: Client[];
let sets: MadeCollection[];
let kinds: Record<string, Kind>;
beforeAll(async () => {
  one = await startSingle({ TRUST_PROXY: '127.0.0.1/32' });
  users = await Promise.all(Array.from({ length: 6 }, () => one.user()));
  sets = await Promise.all(users.map((user) => makeCollection(user, 'private')));
  const [{ records, path } = { records: '', path: '' }] = sets;
  const [header = '', payload = '', signature = ''] = tokenOf(one.admin).split('.');
  const forged = `${header}.${payload}.${signature.split('').reverse().join('')}`;
  const other = tokenOf(await one.user());
  const post = (target: string, token?: string, more = '', method = 'POST') =>
    `${method} ${target} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n${token ? `Authorization: Bearer ${token}\r\n` : ''}${more}`;
  kinds = {
    'no token': { head: post(records), statuses: [401, 429] },
    'a junk token': { head: post(records, 'junk'), statuses: [401, 429] },
    'a forged token': { head: post(records, forged), statuses: [401, 429] },
    'a junk token where none is needed': { head: post('/api/v1/auth/login', 'junk'), statuses: [401, 429] },
    'an upload without a token': { head: post(`${records}/bulk`), statuses: [401, 429] },
    "another user's collection": { head: post(records, other), statuses: [404, 429] },
    "another user's account": {
      head: post(`/api/v1/users/${users[0]?.userId}`, other, '', 'PATCH'),
      statuses: [403, 429],
    },
    'an unknown method': { head: post(path, other), statuses: [405, 429] },
    'an unknown path': { head: post('/api/v1/nothing'), statuses: [404, 429] },
    'an unsupported type': {
      head: post(records, other).replace('application/json', 'text/plain'),
      statuses: [415, 429],
    },
  };
}, 60_000);
afterAll(endPrograms);

interface Kind {
  head: string;
  /** Includes 429, for when the address has used up its quota. */
  statuses: number[];
}

const statusOf = (received: string) => Number(/^HTTP\/1\.1 (\d{3})/.exec(received)?.[1]);
const CONTINUE = 'Expect: 100-continue\r\n';
const announced = (bytes: number) => `Content-Length: ${bytes}\r\n\r\n`;
const from = (n: number) => `X-Forwarded-For: 10.9.0.${1 + (n % 30)}\r\n`;

/** Everything received after these bytes, until there is an answer or the connection ends. */
function answerTo(bytes: string, sockets: Set<Socket> = new Set()): Promise<string> {
  return new Promise((resolve) => {
    const socket = openSocket(one.url);
    sockets.add(socket);
    let received = '';
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1');
      if (received.includes('requestId')) socket.destroy();
    });
    socket.on('close', () => {
      sockets.delete(socket);
      resolve(received);
    });
    socket.write(bytes);
  });
}

row(57, 'by their head alone', async () => {
  for (const [name, { head, statuses }] of Object.entries(kinds)) {
    for (const more of ['', CONTINUE]) {
      const received = await answerTo(head + more + announced(BODY_BYTES));
      expect([name, statusOf(received)]).toEqual([name, statuses[0]]);
    }
    // Bodies of unknown length, too.
    const received = await answerTo(`${head}Transfer-Encoding: chunked\r\n\r\n`);
    expect([name, statusOf(received)]).toEqual([name, statuses[0]]);
  }
  const tooLong = await answerTo((kinds["another user's collection"] as Kind).head + announced(BODY_BYTES + 1));
  expect(statusOf(tooLong)).toBe(413);
  // Only callers who may send are told to continue.
  const [own] = sets as [MadeCollection];
  const body = JSON.stringify({ data: { text: 'x' } });
  const token = tokenOf(users[0] as Client);
  const socket = openSocket(one.url);
  let received = '';
  socket.on('data', (chunk) => {
    received += chunk.toString('latin1');
    if (received === 'HTTP/1.1 100 Continue\r\n\r\n') socket.write(body);
  });
  socket.write(
    `POST ${own.records} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer ${token}\r\n${CONTINUE}${announced(body.length)}`,
  );
  for (const end = Date.now() + 5000; Date.now() < end && !received.includes('201'); ) await pause(20);
  socket.destroy();
  expect(received).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 201 /);
  return { kinds: Object.keys(kinds).length, 'told to go on': 'only who may' };
});

/** A signed-in user's record of 50 KB, sent over 1.5 s. */
async function sendSlowly(user: Client, { records }: MadeCollection): Promise<number> {
  const body = JSON.stringify({ data: { text: 'x'.repeat(50_000) } });
  const socket = openSocket(one.url);
  let received = '';
  socket.on('data', (chunk) => {
    received += chunk.toString('latin1');
  });
  const head = `POST ${records} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer ${tokenOf(user)}\r\n${announced(body.length)}`;
  socket.write(head);
  for (let at = 0; at < body.length; at += 5000) {
    socket.write(body.slice(at, at + 5000));
    await pause(130);
  }
  for (const end = Date.now() + 10_000; Date.now() < end && Number.isNaN(statusOf(received)) && !socket.destroyed; )
    await pause(20);
  socket.destroy();
  return statusOf(received);
}

row(57, 'half bodies beside signed-in users', async () => {
  const half = ' '.repeat(BODY_BYTES - 8000);
  const open: Kind = {
    head: 'POST /api/v1/auth/register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n',
    statuses: [503, 429],
  };
  const all = [...Object.values(kinds), open, open, open];
  const answered: Record<number, number> = {};
  const sockets = new Set<Socket>();
  const end = Date.now() + BESIDE_MS;
  let number = 0;
  const stranger = async () => {
    while (Date.now() < end && number < 20_000) {
      const n = number++;
      const { head, statuses } = all[n % all.length] as Kind;
      const received = await answerTo(
        head + from(n) + (n % 3 === 0 ? CONTINUE : '') + announced(BODY_BYTES) + half,
        sockets,
      );
      const status = statusOf(received.replace('HTTP/1.1 100 Continue\r\n\r\n', ''));
      answered[status] = (answered[status] ?? 0) + 1;
      // After the end, connections are closed here that were still waiting.
      if (Date.now() < end) expect([...statuses, Number.NaN]).toContain(status);
    }
  };
  const strangers = Array.from({ length: AT_ONCE }, stranger);
  const sent: number[] = [];
  let most = 0;
  const watch = async () => {
    while (Date.now() < end) {
      most = Math.max(most, (await figuresOf(one.anyone))('resources_in_use{resource="body_bytes"}'));
      await pause(100);
    }
  };
  const signedIn = users.map(async (user, i) => {
    while (Date.now() < end) sent.push(await sendSlowly(user, sets[i] as MadeCollection));
  });
  const signing = async () => {
    const found: number[] = [];
    while (Date.now() < end) {
      found.push((await one.anyone.post('/api/v1/auth/login', ADMIN, { 'x-forwarded-for': '10.8.0.1' })).status);
      await pause(1500);
    }
    return found;
  };
  const [signIns] = await Promise.all([signing(), watch(), ...signedIn]);
  for (const socket of sockets) socket.destroy();
  await Promise.all(strangers);
  // No signed-in user is refused, and no sign-in.
  expect(new Set(sent)).toEqual(new Set([201]));
  expect(new Set(signIns)).toEqual(new Set([200]));
  expect(most).toBeLessThan(STRANGERS_BYTES + 6 * 131_072);
  for (const till = Date.now() + 5000; Date.now() < till; await pause(100))
    if ((await figuresOf(one.anyone))('resources_in_use{resource="body_bytes"}') === 0) break;
  expect((await figuresOf(one.anyone))('resources_in_use{resource="body_bytes"}')).toBe(0);
  await one.expectUnharmed();
  return {
    strangers: number,
    'refused with 401, 403, 404, 405, 415': [401, 403, 404, 405, 415].reduce(
      (sum, one) => sum + (answered[one] ?? 0),
      0,
    ),
    'with 429': answered[429] ?? 0,
    'put out with 503': answered[503] ?? 0,
    'of their bodies held at most': inMiB(most / 1_048_576),
    'records of those who are signed in': sent.length,
    'of them refused': 0,
  };
});
