import { once } from 'node:events';
import { type MadeCollection, makeCollection, must, until } from '../support/collections.js';
import { limit } from '../support/limit.js';
import { imageOf, pause } from '../support/process.js';
import { openSocket } from '../support/raw.js';
import { type Single, startSingle } from '../support/single.js';
import { NDJSON } from '../support/uploads.js';
import { figuresOf, mostMemoryOf } from '../support/watch.js';

const CONTAINER_MIB = 256;

let one: Single;
beforeAll(async () => {
  const { flags, environment } = imageOf(CONTAINER_MIB);
  one = await startSingle({ ...environment, SEND_TIMEOUT_MS: '2500', ANSWER_MEMORY_BYTES: '4194304' }, flags);
}, 60_000);
afterEach(() => one.expectUnharmed());
afterAll(() => one?.close());

const givenUp = async () => (await figuresOf(one.anyone))('answers_given_up_total');
/** 600 records of 30 KB. */
async function fill(): Promise<MadeCollection> {
  const filled = await makeCollection(one.admin);
  const lines = Array.from({ length: 600 }, () => JSON.stringify({ data: { text: 'x'.repeat(30_000) } })).join('\n');
  must(200, await one.admin.post(`${filled.records}/bulk`, lines, NDJSON));
  return filled;
}

limit('SEND_TIMEOUT_MS', async () => {
  const { records } = await fill();
  const before = await givenUp();
  const reader = openSocket(one.url);
  let received = '';
  reader.on('data', (chunk) => {
    received += chunk.toString('latin1');
  });
  reader.write(`GET ${records}/export HTTP/1.1\r\nHost: x\r\n\r\n`);
  await once(reader, 'data');
  reader.pause();
  await until(async () => (await givenUp()) > before, 10);
  const closed = new Promise((resolve) => reader.once('close', resolve));
  reader.resume();
  await closed;
  expect([received.startsWith('HTTP/1.1 200'), received.endsWith('0\r\n\r\n')]).toEqual([true, false]);
});

limit('ANSWER_MEMORY_BYTES', async () => {
  const filled = await fill();
  const waiting = async () => (await figuresOf(one.anyone))('resources_in_use{resource="answer_bytes"}');
  const before = await givenUp();
  // More than the buffers of the system hold.
  const long = `${filled.records}?limit=100`;
  const reader = openSocket(one.url).pause();
  reader.write(`GET ${long} HTTP/1.1\r\nHost: x\r\n\r\n`.repeat(8));
  const isStuck = async () => {
    const before = await waiting();
    await pause(300);
    return before > 0 && (await waiting()) === before;
  };
  await until(isStuck, 10);
  // A caller may leave one page unread; another caller and a short answer are not refused because of it.
  const plain = { 'accept-encoding': 'identity' };
  const refused = await one.anyone.get(long, plain);
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
  expect((await one.admin.get(long, plain)).status).toBe(200);
  expect((await one.anyone.get(filled.path)).status).toBe(200);
  await until(async () => (await givenUp()) > before && (await waiting()) === 0, 10);
  expect((await one.anyone.get(long, plain)).status).toBe(200);
  reader.destroy();
});

limit('UPLOAD_MEMORY_BYTES', async () => {
  const { records } = await makeCollection(one.admin);
  const row = `${JSON.stringify({ data: { text: 'x'.repeat(30_000) } })}\n`;
  const head = `POST ${records}/bulk HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${one.admin.tokens?.accessToken}\r\nContent-Type: application/x-ndjson\r\nContent-Length: 60000000\r\n\r\n`;
  const senders = [];
  let most = 0;
  // Each sends less than a batch, and then stops; every other one stops within a line.
  for (let i = 0; i < 60; i++) {
    const socket = openSocket(one.url);
    socket.write(head + row.repeat(100) + (i % 2 === 0 ? '' : `{"data":{"x":"${'x'.repeat(900_000)}`));
    senders.push(socket);
    await pause(30);
    most = Math.max(most, (await figuresOf(one.anyone))('resources_in_use{resource="upload_bytes"}'));
  }
  await pause(500);
  // Waiting rows are stored early when there is no room for all of them.
  expect(most).toBeLessThan(12_582_912 + 8_388_608);
  expect(mostMemoryOf(one.program)).toBeLessThan(CONTAINER_MIB);
  for (const socket of senders) socket.destroy();
  const left = async () => (await figuresOf(one.anyone))('resources_in_use{resource="upload_bytes"}');
  await until(async () => (await left()) === 0, 10);
  const [{ count }] = (await one.database.query<{ count: number }>('SELECT count(*)::int AS count FROM records')) as [
    { count: number },
  ];
  expect(count).toBeGreaterThan(1000);
});
