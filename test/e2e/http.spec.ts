import { once } from 'node:events';
import { startApp, type TestApp } from '../support/app.js';
import { makeCollection } from '../support/collections.js';
import { expectProblem } from '../support/problem.js';
import { pause } from '../support/process.js';
import { openSocket, readAnswer, sendRaw } from '../support/raw.js';

const LOGIN = '/api/v1/auth/login';
const LIMIT = 65_536;

let app: TestApp;
beforeAll(async () => {
  app = await startApp({
    BODY_LIMIT_BYTES: String(LIMIT),
    HEADERS_TIMEOUT_MS: '1000',
    REQUEST_TIMEOUT_MS: '2000',
  });
});
afterAll(() => app?.close());

const post = (headers: string, body = '') => `POST ${LOGIN} HTTP/1.1\r\nHost: localhost\r\n${headers}\r\n${body}`;
const JSON_TYPE = 'Content-Type: application/json\r\n';

describe('a request that is not valid HTTP', () => {
  it('gets 400 at once', async () => {
    for (const bytes of [
      'hello there\r\n\r\n',
      Buffer.from([0x16, 3, 1, 2, 0, 1]),
      'GET /\r\nx\r\n\r\n',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    ])
      expectProblem(await sendRaw(app.url, bytes), 'invalid-request');
  });

  it('is refused when Content-Length and Transfer-Encoding contradict each other', async () => {
    const both = post(`${JSON_TYPE}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n`, '0\r\n\r\n');
    expectProblem(await sendRaw(app.url, both), 'invalid-request');
    const twice = post(`${JSON_TYPE}Content-Length: 2\r\nContent-Length: 3\r\n`, '{} ');
    expectProblem(await sendRaw(app.url, twice), 'invalid-request');
    const odd = post(`${JSON_TYPE}Transfer-Encoding: chunked, identity\r\n`, '0\r\n\r\n');
    expectProblem(await sendRaw(app.url, odd), 'invalid-request');
  });

  it('is refused when the size of a chunk or a length is not a number', async () => {
    const chunk = post(`${JSON_TYPE}Transfer-Encoding: chunked\r\n`, 'zz\r\n{}\r\n0\r\n\r\n');
    expectProblem(await sendRaw(app.url, chunk), 'invalid-request');
    expectProblem(await sendRaw(app.url, post(`${JSON_TYPE}Content-Length: -1\r\n`)), 'invalid-request');
  });

  it('is refused with a fragment in its target, which would give one resource many URLs', async () => {
    for (const target of ['/openapi.json#1', '/docs/swagger-ui-init.js#1', '/api/v1/data#a?limit=1'])
      expectProblem(await sendRaw(app.url, `GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`), 'invalid-request');
    expect((await sendRaw(app.url, 'GET /%6fpenapi.json HTTP/1.1\r\nHost: x\r\n\r\n')).status).toBe(200);
  });

  it('is refused without a Host', async () => {
    expectProblem(await sendRaw(app.url, 'GET /health/live HTTP/1.1\r\n\r\n'), 'invalid-request');
  });
});

it('answers 431 to 64 KiB of headers, in one field or in many', async () => {
  const one = `X-Big: ${'a'.repeat(65_536)}\r\n`;
  const many = Array.from({ length: 4000 }, (_, i) => `x-${i}: ${i}\r\n`).join('');
  for (const headers of [one, many])
    expectProblem(
      await sendRaw(app.url, `GET /health/live HTTP/1.1\r\nHost: localhost\r\n${headers}\r\n`),
      'headers-too-large',
    );
});

it('ignores an unknown expectation', async () => {
  const request = 'GET /health/live HTTP/1.1\r\nHost: localhost\r\nExpect: the-unexpected\r\n\r\n';
  expect((await sendRaw(app.url, request)).status).toBe(200);
});

describe('a body', () => {
  it('that is longer than its Content-Length is cut there, and the rest is not taken as a request', async () => {
    const body = '{"email":"a@example.com","password":"12345678"}';
    expectProblem(await sendRaw(app.url, post(`${JSON_TYPE}Content-Length: 9\r\n`, body)), 'invalid-request');
  });

  it('that is shorter than its Content-Length is awaited no longer than REQUEST_TIMEOUT_MS', async () => {
    expectProblem(await sendRaw(app.url, post(`${JSON_TYPE}Content-Length: 100\r\n`, '{}')), 'request-timeout');
  });

  it('that is empty or missing gets 400, or 415 without a type', async () => {
    const empty = await sendRaw(app.url, post(`${JSON_TYPE}Content-Length: 0\r\n`));
    expectProblem(empty, 'invalid-request');
    // Node has no stream for it.
    const missing = await sendRaw(app.url, post(JSON_TYPE));
    expect([missing.status, missing.body.detail]).toEqual([400, empty.body.detail]);
    expectProblem(await app.client.send('POST', LOGIN, undefined), 'invalid-request');
    expectProblem(await sendRaw(app.url, post('Content-Length: 2\r\n', '{}')), 'unsupported-media-type');
  });

  it('over the limit gets 413 by its Content-Length, before a byte of it has arrived', async () => {
    const answer = await sendRaw(app.url, post(`${JSON_TYPE}Content-Length: ${LIMIT + 1}\r\n`));
    expectProblem(answer, 'content-too-large');
    expect(answer.headers.get('connection')).toBe('close');
  });

  it('over the limit gets 413 in chunks, as soon as it passes the limit', async () => {
    const chunk = `${(LIMIT + 1).toString(16)}\r\n${' '.repeat(LIMIT + 1)}\r\n`;
    const answer = await sendRaw(app.url, post(`${JSON_TYPE}Transfer-Encoding: chunked\r\n`, chunk));
    expectProblem(answer, 'content-too-large');
    expect(answer.headers.get('connection')).toBe('close');
  });

  it('exactly at the limit is read', async () => {
    const body = `{"email":"a@example.com","password":"${'x'.repeat(60)}"}`;
    expectProblem(await app.client.post(LOGIN, body.padEnd(LIMIT)), 'invalid-credentials');
  });

  it('without end uses no memory and is refused quickly', async () => {
    const socket = openSocket(app.url);
    const ended = new Promise((resolve) => socket.on('close', resolve));
    socket.write(post(`${JSON_TYPE}Transfer-Encoding: chunked\r\n`));
    const chunk = Buffer.from(`10000\r\n${' '.repeat(65_536)}\r\n`);
    const before = process.memoryUsage().rss;
    let sent = 0;
    const pump = () => {
      while (sent < 512 && !socket.destroyed && socket.writable) {
        sent++;
        if (!socket.write(chunk)) return;
      }
    };
    socket.on('drain', pump).on('data', () => {});
    pump();
    await ended;
    expect(process.memoryUsage().rss - before).toBeLessThan(128 * 1024 * 1024);
    expect(sent).toBeLessThan(512);
  });
});

describe('a slow caller', () => {
  /** Sends this text byte by byte with pauses, until the server closes the connection. */
  const drip = async (start: string, rest: string) => {
    const socket = openSocket(app.url);
    const answer = readAnswer(socket);
    socket.write(start);
    let at = 0;
    const timer = setInterval(() => socket.writable && socket.write(rest[at++ % rest.length] as string), 100);
    try {
      return await answer;
    } finally {
      clearInterval(timer);
    }
  };

  it('gets 408 for its headers after HEADERS_TIMEOUT_MS', async () => {
    expectProblem(await drip('GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-Slow: ', 'a'), 'request-timeout');
  });

  it('gets 408 for its body after REQUEST_TIMEOUT_MS', async () => {
    const headers = `${JSON_TYPE}Content-Length: 60000\r\n`;
    expectProblem(await drip(post(headers, '{'), ' '), 'request-timeout');
  });

  it('does not keep others from being served', async () => {
    const slow = Array.from({ length: 200 }, () => drip('GET /health/live HTTP/1.1\r\nX-Slow: ', 'a'));
    for (let i = 0; i < 20; i++) expect((await app.client.get('/api/v1/data')).status).toBe(200);
    for (const answer of await Promise.all(slow)) expectProblem(answer, 'request-timeout');
  });

  it('that sends nothing at all is disconnected', async () => {
    const socket = openSocket(app.url);
    await new Promise((resolve) => socket.on('close', resolve).resume());
    expect(socket.bytesWritten).toBe(0);
  });
});

it('keeps a connection open on which a short upload was refused before it had arrived', async () => {
  const user = await app.user('uploader');
  const { records } = await makeCollection(user);
  const socket = openSocket(app.url);
  const next = async () => String((await once(socket, 'data'))[0]);
  const head = `POST ${records}/bulk HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${user.tokens?.accessToken}\r\n`;
  socket.write(`${head}Content-Type: application/x-ndjson\r\nContent-Length: 500\r\n\r\n${' '.repeat(100)}`);
  await pause(200);
  await app.client.post('/api/v1/auth/logout', { refreshToken: user.tokens?.refreshToken });
  const refused = await next();
  expect(refused).toMatch(/^HTTP\/1\.1 401 /);
  expect(refused).not.toMatch(/^connection: close/im);
  socket.write(' '.repeat(400));
  // Longer than the rest of the body may take to arrive.
  for (let i = 0; i < 6; i++) {
    socket.write('GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n');
    expect(await next()).toMatch(/^HTTP\/1\.1 200 /);
    await pause(500);
  }
  expect(socket.destroyed).toBe(false);
  socket.destroy();
}, 20_000);
