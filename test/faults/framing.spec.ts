import { type MadeCollection, makeCollection } from '../support/collections.js';
import { openSocket, readAnswer } from '../support/raw.js';
import { row } from '../support/row.js';
import { type Single, startSingle } from '../support/single.js';

let one: Single;
let set: MadeCollection;
let token: string;
beforeAll(async () => {
  one = await startSingle({ REQUEST_TIMEOUT_MS: '2000', HEADERS_TIMEOUT_MS: '2000' });
  set = await makeCollection(one.admin);
  token = one.admin.tokens?.accessToken ?? '';
}, 60_000);
afterEach(() => one.expectUnharmed());
afterAll(() => one?.close());

const BODY = '{"data":{"outer":1}}';
const SIZE = BODY.length;
const CHUNKED = `${SIZE.toString(16)}\r\n${BODY}\r\n0\r\n\r\n`;
const TE = 'Transfer-Encoding: chunked\r\n';
const length = (of: number | string) => `Content-Length: ${of}\r\n`;

/** The bytes that a front end which reads the length differently would take as a separate request. */
const smuggled = () =>
  `POST ${set.records} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\n` +
  `Content-Length: 22\r\n\r\n{"data":{"hidden":"!"}}`;
const start = (version = '1.1') => `POST ${set.records} HTTP/${version}\r\n`;
const post = (headers: string, body: string, version?: string, host = 'Host: x\r\n') =>
  `${start(version)}${host}Authorization: Bearer ${token}\r\nContent-Type: application/json\r\n${headers}\r\n${body}`;
const get = (headers: string, path = '/health/live', version = '1.1') =>
  `GET ${path} HTTP/${version}\r\n${headers}\r\n`;
const HOST = 'Host: x\r\n';

/** Requests whose end or host two servers may read differently. */
const ambiguous: Record<string, () => string> = {
  'CL.TE': () => post(length(6) + TE, `0\r\n\r\n${smuggled()}`),
  'TE.CL': () => post(TE + length(4), `${CHUNKED}${smuggled()}`),
  'CL.TE, both right': () => post(length(CHUNKED.length) + TE, CHUNKED),
  'two lengths': () => post(length(SIZE) + length(0), BODY + smuggled()),
  'two lengths, the same': () => post(length(SIZE) + length(SIZE), BODY),
  'a list of lengths': () => post(length(`${SIZE}, ${SIZE}`), BODY),
  'a length with a sign': () => post(length(`+${SIZE}`), BODY),
  'a length below zero': () => post(length(-1), BODY),
  'a length in hexadecimal': () => post(length(`0x${SIZE.toString(16)}`), BODY),
  'a length with a space in it': () => post(length('2 0'), BODY),
  'a length past 2^64': () => post(length('18446744073709551636'), BODY),
  'a length without figures': () => post(length(''), BODY),
  'TE.TE with an unknown one': () => post(`${TE}Transfer-Encoding: x\r\n`, CHUNKED),
  'TE.TE the same': () => post(TE + TE, CHUNKED),
  identity: () => post(`Transfer-Encoding: identity\r\n${length(SIZE)}`, BODY),
  'chunked, identity': () => post('Transfer-Encoding: chunked, identity\r\n', CHUNKED),
  'gzip, chunked': () => post('Transfer-Encoding: gzip, chunked\r\n', CHUNKED),
  xchunked: () => post('Transfer-Encoding: xchunked\r\n', CHUNKED),
  'chunked in quotes': () => post('Transfer-Encoding: "chunked"\r\n', CHUNKED),
  'chunked after a vertical tab': () => post('Transfer-Encoding: \x0bchunked\r\n', CHUNKED),
  'chunked in HTTP/1.0': () => post(TE, CHUNKED, '1.0'),
  'a folded header': () => get(`${HOST}X-A: b\r\n c\r\n`),
  'a folded Transfer-Encoding': () => post('Transfer-Encoding:\r\n chunked\r\n', CHUNKED),
  'a first header that begins with a space': () => get(` X-A: b\r\n${HOST}`),
  'a space before the colon': () => post(`Transfer-Encoding : chunked\r\n${length(4)}`, CHUNKED),
  'a tab before the colon': () => post(`Transfer-Encoding\t: chunked\r\n`, CHUNKED),
  'a header without a name': () => get(`${HOST}: x\r\n`),
  'a header without a colon': () => get(`${HOST}Content-Length\r\n`),
  'a NUL in a header': () => get(`${HOST}X-A: b\0c\r\n`),
  'bare LF throughout': () => `GET /health/live HTTP/1.1\nHost: x\n\n`,
  'a bare LF after a header': () => get('Host: x\nX-A: b\r\n'),
  'a bare CR in a header': () => get(`${HOST}X-A: b\rX-B: c\r\n`),
  'a bare LF at the end of the headers': () => `GET /health/live HTTP/1.1\r\n${HOST}\n`,
  'a chunk longer than it says': () => post(TE, `2\r\n${BODY}\r\n0\r\n\r\n${smuggled()}`),
  'a chunk with 0x': () => post(TE, `0x${CHUNKED}`),
  'a chunk with a sign': () => post(TE, `-${CHUNKED}`),
  'a chunk with a space after its length': () => post(TE, CHUNKED.replace('\r\n', ' \r\n')),
  'a chunk past 2^64': () => post(TE, `10000000000000014${CHUNKED}`),
  'a chunk ended by LF': () => post(TE, `${SIZE.toString(16)}\n${BODY}\r\n0\r\n\r\n`),
  'a chunk followed by LF': () => post(TE, `${SIZE.toString(16)}\r\n${BODY}\n0\r\n\r\n`),
  'an extension ended by LF': () => post(TE, `${SIZE.toString(16)};a\n${BODY}\r\n0\r\n\r\n`),
  'an extension of 20 kB': () => post(TE, `${SIZE.toString(16)};${'a'.repeat(20_000)}\r\n${BODY}\r\n0\r\n\r\n`),
  'a length in the trailer': () => post(TE, `${SIZE.toString(16)}\r\n${BODY}\r\n0\r\nContent-Length: 5\r\n\r\n`),
  'two hosts': () => get('Host: a\r\nHost: b\r\n'),
  'two hosts, the same': () => get('Host: x\r\nHost: x\r\n'),
  'two hosts for a write': () => post(length(SIZE), BODY, '1.1', 'Host: a\r\nHost: b\r\n'),
  'two hosts for a cached read': () => get('Host: a\r\nHost: b\r\n', set.path),
  'no host': () => get('X-A: b\r\n'),
  'an invalid host': () => get('Host: a b/c\r\n'),
  'a host with a user': () => get('Host: a@b\r\n'),
  'a list of hosts': () => get('Host: a, b\r\n', set.path),
  'HTTP/0.9': () => 'GET /health/live\r\n\r\n',
  'HTTP/1.2': () => get(HOST, '/health/live', '1.2'),
  'HTTP/2.0': () => get(HOST, '/health/live', '2.0'),
  'the preface of HTTP/2': () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'CONNECT to another server': () => 'CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n',
  'CONNECT to a path': () => `CONNECT ${set.path} HTTP/1.1\r\n${HOST}\r\n`,
  'a TLS greeting': () => '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
};

/** Sends the bytes and a whole request after them. @returns everything received until the server closes the connection */
function sendAll(bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = openSocket(one.url);
    let received = '';
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error(`the connection stays open: ${received.slice(0, 200)}`));
    }, 8000);
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1');
    });
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(received);
    });
    socket.write(Buffer.from(bytes, 'latin1'));
  });
}

const statusesIn = (received: string) => [...received.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => status);
const stored = async () =>
  (await one.database.query<{ n: number }>('SELECT count(*)::int AS n FROM records'))[0]?.n as number;

row(44, 'lengths and hosts that servers may read differently', async () => {
  const before = await stored();
  const answers = await Promise.all(
    Object.entries(ambiguous).map(async ([name, request]) => [name, statusesIn(await sendAll(request()))]),
  );
  // Each gets one answer and a closed connection: the bytes after it are not taken as a request.
  expect(Object.fromEntries(answers)).toEqual(
    Object.fromEntries(Object.keys(ambiguous).map((name) => [name, ['400']])),
  );
  expect(await stored()).toBe(before);
  return { requests: answers.length, 'refused with 400 and an end': answers.length, 'smuggled and stored': 0 };
});

row(44, 'unusual but valid requests are read correctly', async () => {
  const before = await stored();
  const unusual = [
    post('transfer-encoding:   Chunked\r\n', CHUNKED),
    post(TE, `${SIZE.toString(16)};name=value;x="y"\r\n${BODY}\r\n0\r\n\r\n`),
    post(TE, `0000${SIZE.toString(16).toUpperCase()}\r\n${BODY}\r\n000\r\n\r\n`),
    post(`content-length:   000${SIZE}  \r\n`, BODY),
    `\r\n${post(length(SIZE), BODY)}`,
    post(`Expect: 100-continue\r\n${length(SIZE)}`, BODY),
  ];
  for (const request of unusual) {
    const socket = openSocket(one.url);
    const answer = readAnswer(socket);
    socket.write(request);
    expect([request, [100, 201].includes((await answer).status)]).toEqual([request, true]);
  }
  // Pipelined requests get as many answers, in their order.
  const many = await sendAll(
    `${get(HOST, set.path)}${post(length(SIZE), BODY)}${get(`${HOST}Connection: close\r\n`, '/nowhere')}`,
  );
  expect(statusesIn(many)).toEqual(['200', '201', '404']);
  const made = (await stored()) - before;
  expect(made).toBeGreaterThanOrEqual(unusual.length);
  return { requests: unusual.length + 3, 'stored by them': made };
});

row(44, 'garbage after a good request or in the middle of its answer', async () => {
  const garbage = 'what is this\r\n\r\n';
  const lines = Array.from({ length: 400 }, () => JSON.stringify({ data: { text: 'x'.repeat(30_000) } })).join('\n');
  await one.admin.post(`${set.records}/bulk`, lines, { 'content-type': 'application/x-ndjson' });
  // The answer to the good request is complete and comes first.
  const behind = await sendAll(post(length(SIZE), BODY) + garbage);
  expect(statusesIn(behind)).toEqual(['201', '400']);
  expect(behind.indexOf('"outer": 1}')).toBeGreaterThan(0);
  expect(behind.indexOf('"outer": 1}')).toBeLessThan(behind.indexOf('HTTP/1.1 400'));
  const streamed = await sendAll(get(HOST, `${set.records}/export`) + garbage);
  expect(statusesIn(streamed)).toEqual(['200', '400']);
  const [answer = '', refusal] = streamed.split('HTTP/1.1 400');
  expect(answer.endsWith('0\r\n\r\n')).toBe(true);
  expect(refusal).toContain('application/problem+json');
  // Callers who ask for a tunnel and reset the connection do no harm.
  for (let i = 0; i < 50; i++) {
    const socket = openSocket(one.url);
    socket.write('CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n', () => socket.resetAndDestroy());
  }
  return { 'bytes of the export before the refusal': answer.length };
});
