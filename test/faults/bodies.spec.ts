import { connect } from 'node:net';
import { brotliCompressSync, constants, deflateSync, gzipSync } from 'node:zlib';
import { type MadeCollection, makeCollection, must } from '../support/collections.js';
import { exchange } from '../support/exchange.js';
import { inMs, quantile, row } from '../support/row.js';
import { type Single, startSingle } from '../support/single.js';
import { inMiB, memoryOf, peakOf } from '../support/watch.js';

const LOGIN = '/api/v1/auth/login';
const MIB = 1_048_576;
/** The growth of memory that does not count: garbage of some seconds, far less than the bytes that are sent. */
const FLAT_MIB = 96;
/** Two million chunks leave as many Buffers to the garbage collector, which takes its time. If they were kept: 320 MiB. */
const GARBAGE_MIB = 224;

let one: Single;
let set: MadeCollection;
beforeAll(async () => {
  one = await startSingle({
    HEADERS_TIMEOUT_MS: '2000',
    REQUEST_TIMEOUT_MS: '2000',
    BULK_LIMIT_BYTES: String(4 * MIB),
    PASSWORD_HASH_CONCURRENCY: '1',
    PASSWORD_HASH_QUEUE: '1',
  });
  set = await makeCollection(one.admin);
  // The first requests allocate memory once, which is not growth.
  for (let i = 0; i < 200; i++) must(201, await one.admin.post(set.records, { data: { i } }));
}, 60_000);
afterEach(() => one.expectUnharmed());
afterAll(() => one?.close());

const statusIn = (received: string) => Number(/^HTTP\/1\.1 (\d{3})/.exec(received)?.[1]);
const head = (path: string, headers: string, type = 'application/json') =>
  `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: ${type}\r\nAuthorization: Bearer ${one.admin.tokens?.accessToken}\r\n${headers}\r\n`;
/** Routes that read a body whole, and one that streams it. */
const targets = () => [head(LOGIN, ''), head(set.records, ''), head(`${set.records}/bulk`, '', 'application/x-ndjson')];
const withHeaders = (target: string, headers: string) => target.replace(/\r\n$/, `${headers}\r\n`);

/** Sends a head, and then pieces as long as they are accepted. @returns the answer, when the server closes the connection */
function pour(start: string, piece: Buffer, times: number): Promise<{ status: number; sent: number }> {
  return new Promise((resolve) => {
    const { hostname, port } = new URL(one.url);
    const socket = connect(Number(port), hostname).on('error', () => {});
    let received = '';
    let count = 0;
    const pump = () => {
      while (count < times && socket.writable) {
        count++;
        if (!socket.write(piece)) return;
      }
    };
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1');
    });
    socket.on('drain', pump).on('close', () => resolve({ status: statusIn(received), sent: count * piece.length }));
    socket.write(start, pump);
  });
}

row(29, 'over the limit', async () => {
  const before = memoryOf(one.program);
  const spaces = Buffer.alloc(65_536, ' ');
  const chunk = Buffer.concat([Buffer.from('10000\r\n'), spaces, Buffer.from('\r\n')]);
  const answers: { status: number; sent: number }[] = [];
  const peak = await peakOf(one.program, async () => {
    for (let round = 0; round < 10; round++) {
      const all = targets().flatMap((target) => [
        pour(withHeaders(target, `Content-Length: ${64 * MIB}\r\n`), spaces, 1024),
        pour(withHeaders(target, 'Transfer-Encoding: chunked\r\n'), chunk, 1024),
      ]);
      answers.push(...(await Promise.all(all)));
    }
  });
  // The connection may be closed before a caller that keeps sending reads the answer.
  const refused = answers.filter(({ status }) => status === 413).length;
  const closed = answers.filter(({ status }) => Number.isNaN(status)).length;
  expect(refused + closed).toBe(answers.length);
  expect(closed).toBeLessThan(answers.length / 4);
  // No body was read to its end.
  expect(Math.max(...answers.map(({ sent }) => sent))).toBeLessThan(32 * MIB);
  expect(peak - before).toBeLessThan(FLAT_MIB);
  return {
    'refused with 413': refused,
    'closed while the caller still sent': closed,
    'memory before': inMiB(before),
    'at most': inMiB(peak),
  };
});

row(29, 'in chunks of one byte', async () => {
  const before = memoryOf(one.program);
  const small = Buffer.from('1\r\n \r\n'.repeat(10_000));
  let answers: { status: number; sent: number }[] = [];
  const peak = await peakOf(one.program, async () => {
    // Each sends 200,000 bytes, and then stops.
    const all = Array.from({ length: 10 }, () => pour(head(LOGIN, 'Transfer-Encoding: chunked\r\n'), small, 20));
    answers = await Promise.all(all);
  });
  expect([...new Set(answers.map(({ status }) => status))]).toEqual([408]);
  expect(peak - before).toBeLessThan(GARBAGE_MIB);
  return { chunks: 2_000_000, 'memory before': inMiB(before), 'at most': inMiB(peak) };
});

row(29, 'a false Content-Length', async () => {
  const before = memoryOf(one.program);
  const body = JSON.stringify({ email: 'a@example.com', password: 'x'.repeat(50) });
  const seen: Record<string, number[]> = { 'too short': [], 'too long': [], 'too long, then an end': [] };
  const all = targets().flatMap((target) => [
    // Cut there, the body is not JSON, and the rest is not a request.
    exchange(one.url, withHeaders(target, 'Content-Length: 9\r\n') + body, true).then((received) => {
      seen['too short']?.push(statusIn(received));
    }),
    pour(withHeaders(target, `Content-Length: ${body.length + 1}\r\n`), Buffer.from(body), 1).then(({ status }) => {
      seen['too long']?.push(status);
    }),
    endedEarly(withHeaders(target, `Content-Length: ${body.length + 1}\r\n`) + body).then((received) => {
      seen['too long, then an end']?.push(statusIn(received));
    }),
  ]);
  await Promise.all(all);
  // An upload reports it as an error of its one line.
  expect(seen).toEqual({
    'too short': expect.arrayContaining([400, 400, 200]),
    'too long': [408, 408, 408],
    'too long, then an end': [400, 400, 400],
  });
  return { requests: all.length, 'memory before': inMiB(before), after: inMiB(memoryOf(one.program)) };
});

/** Sends the request, ends its half of the connection, and reads to the end. */
function endedEarly(request: string): Promise<string> {
  return new Promise((resolve) => {
    const { hostname, port } = new URL(one.url);
    let received = '';
    const socket = connect({ port: Number(port), host: hostname, allowHalfOpen: true });
    socket
      .on('error', () => {})
      .on('data', (chunk) => {
        received += chunk.toString('latin1');
      });
    socket.on('end', () => socket.destroy()).on('close', () => resolve(received));
    socket.end(request);
  });
}

row(29, 'a gzip bomb', async () => {
  const before = memoryOf(one.program);
  const zeros = Buffer.alloc(256 * MIB, ' ');
  const fast = { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } };
  const bombs: [string, Buffer][] = [
    ['gzip', gzipSync(zeros)],
    ['deflate', deflateSync(zeros)],
    ['br', brotliCompressSync(zeros, fast)],
    ['gzip, gzip', gzipSync(gzipSync(zeros))],
    ['GZIP', gzipSync(zeros.subarray(0, MIB))],
    ['identity, gzip', gzipSync(zeros.subarray(0, MIB))],
  ];
  const statuses = new Set<number>();
  const peak = await peakOf(one.program, async () => {
    for (const [coding, bomb] of bombs) {
      for (const target of targets()) {
        const headers = `Connection: close\r\nContent-Encoding: ${coding}\r\nContent-Length: ${bomb.length}\r\n`;
        statuses.add((await pour(withHeaders(target, headers), bomb, 1)).status);
      }
    }
    const coded = withHeaders(head(LOGIN, ''), 'Transfer-Encoding: gzip, chunked\r\n');
    expect((await pour(coded, Buffer.from('0\r\n\r\n'), 1)).status).toBe(400);
  });
  expect([...statuses]).toEqual([415]);
  expect(peak - before).toBeLessThan(FLAT_MIB);
  return {
    bombs: bombs.length * 3,
    'each of': `${inMiB(256)} in ${Math.round((bombs[0]?.[1].length ?? 0) / 1024)} KiB`,
    'memory before': inMiB(before),
    'at most': inMiB(peak),
  };
});

row(36, '', async () => {
  const password = 'p'.repeat(1_000_000);
  const { admin, anyone } = one;
  const email = 'ada@example.com';
  const user = `/api/v1/users/${admin.userId}`;
  const times: number[] = [];
  const asks = [
    () => anyone.post('/api/v1/auth/register', { email, password, name: 'Ada' }),
    () => anyone.post(LOGIN, { email, password }),
    () => anyone.post(LOGIN, { email: 'admin@example.com', password }),
    () => admin.patch(user, { password, currentPassword: 'first-admin-of-the-tests' }, { 'if-match': '*' }),
    () => admin.patch(user, { password: 'a-new-password-12', currentPassword: password }, { 'if-match': '*' }),
  ];
  const statuses = new Set<number>();
  const timed = async (ask: (typeof asks)[number]) => {
    const begun = performance.now();
    statuses.add((await ask()).status);
    times.push(performance.now() - begun);
  };
  // One sign-in is hashed and one waits: if these passwords were hashed, the third at once would get 503.
  for (let round = 0; round < 4; round++) await Promise.all([...asks, ...asks].map(timed));
  expect([...statuses]).toEqual([400]);
  const ordinary = await Promise.all(
    Array.from({ length: 10 }, () => anyone.post(LOGIN, { email, password: 'wrong' })),
  );
  expect(new Set(ordinary.map(({ status }) => status))).toEqual(new Set([401, 503]));
  return { requests: times.length, 'refused with 400': times.length, 'p50 of ten at once': inMs(quantile(times, 0.5)) };
});
