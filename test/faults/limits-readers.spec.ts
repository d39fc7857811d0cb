import { once } from 'node:events';
import { type MadeCollection, makeCollection, must, until } from '../support/collections.js';
import { limit } from '../support/limit.js';
import { openSocket } from '../support/raw.js';
import { type Single, startSingle } from '../support/single.js';
import { NDJSON } from '../support/uploads.js';
import { figuresOf } from '../support/watch.js';

let one: Single;
beforeAll(async () => {
  one = await startSingle({ SEND_TIMEOUT_MS: '1500', ANSWER_MEMORY_BYTES: '4194304' });
}, 60_000);
afterEach(() => one.expectUnharmed());
afterAll(() => one.close());

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
  // More than the system takes of them.
  const long = `${filled.records}?limit=100`;
  const reader = openSocket(one.url).pause();
  reader.write(`GET ${long} HTTP/1.1\r\nHost: x\r\n\r\n`.repeat(8));
  await until(async () => (await waiting()) > 0, 10);
  // One page is all that a caller may leave lying; another caller, and a short answer, are not refused for it.
  const refused = await one.anyone.get(long);
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
  expect((await one.admin.get(long)).status).toBe(200);
  expect((await one.anyone.get(filled.path)).status).toBe(200);
  await until(async () => (await givenUp()) > before && (await waiting()) === 0, 10);
  expect((await one.anyone.get(long)).status).toBe(200);
  reader.destroy();
});
