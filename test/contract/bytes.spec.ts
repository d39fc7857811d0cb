import { readFileSync } from 'node:fs';
import { METHODS } from 'node:http';
import fc from 'fast-check';
import { startApp, type TestApp } from '../support/app.js';
import { drift, schemaOf } from '../support/document.js';
import { openSocket } from '../support/raw.js';

const EACH = { numRuns: 2000, interruptAfterTimeLimit: 8000, markInterruptAsFailure: false };
const { paths }: { paths: object } = JSON.parse(readFileSync('openapi.json', 'utf8'));

const isProblem = schemaOf('Problem');

let app: TestApp;
let token: string;
beforeAll(async () => {
  app = await startApp({ HEADERS_TIMEOUT_MS: '500', REQUEST_TIMEOUT_MS: '1000' });
  token = (await app.user('ada')).tokens?.accessToken ?? '';
});
afterAll(() => app?.close());
afterEach(async () => expect((await app.client.get('/health/ready')).status).toBe(200));

/** Sends the bytes, optionally ends its half, and reads until the server closes the connection. */
function exchange(bytes: Buffer, isEnd = false): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = openSocket(app.url);
    const chunks: Buffer[] = [];
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error('the server neither answered nor ended the connection'));
    }, 10_000);
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(Buffer.concat(chunks));
    });
    if (isEnd) socket.end(bytes);
    else socket.write(bytes);
  });
}

interface Answer {
  status: number;
  headers: Headers;
  body: string;
}

/** The answers on a connection, one after the other. An answer to HEAD has no body, whatever its headers say. */
function readAnswers(bytes: Buffer, isHead: boolean): Answer[] {
  const answers: Answer[] = [];
  for (let rest = bytes.toString('latin1'); rest !== ''; ) {
    const [head = ''] = rest.split('\r\n\r\n', 1);
    const [, status = ''] = /^HTTP\/1\.1 (\d{3}) /.exec(head) ?? [];
    expect(status).toMatch(/^\d{3}$/);
    const lines = head.split('\r\n').slice(1);
    const headers = new Headers(
      lines.map((line): [string, string] => [line.split(':', 1)[0] ?? '', line.slice(line.indexOf(':') + 1)]),
    );
    const body = isHead ? '' : bodyOf(rest.slice(head.length + 4), headers);
    rest = isHead || headers.has('transfer-encoding') ? '' : rest.slice(head.length + 4 + body.length);
    answers.push({ status: Number(status), headers, body: Buffer.from(body, 'latin1').toString() });
  }
  return answers;
}

function bodyOf(text: string, headers: Headers): string {
  if (!headers.has('transfer-encoding')) return text.slice(0, Number(headers.get('content-length') ?? 0));
  let body = '';
  for (let rest = text; ; ) {
    const size = Number.parseInt(rest, 16);
    const at = rest.indexOf('\r\n') + 2;
    if (!size) return body;
    body += rest.slice(at, at + size);
    rest = rest.slice(at + size + 2);
  }
}

/** Expects what must hold for every answer to any request. */
function expectDeclared({ status, headers, body }: Answer, method: string, path: string): void {
  expect(status).toBeLessThan(500);
  // Answers that shared caches may store have none.
  expect(headers.get('x-request-id') ?? 'none').toMatch(/^[A-Za-z0-9._-]{1,128}$/);
  expect(drift(method, path, status, headers, body)).toEqual([]);
  if (status < 400) return;
  expect(headers.get('content-type')).toBe('application/problem+json');
  if (method === 'HEAD') return;
  expect(isProblem(JSON.parse(body)) || isProblem.errors).toBe(true);
  expect(JSON.parse(body).status).toBe(status);
}

const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map((array) => Buffer.from(array));
const text = (maxLength: number) =>
  fc.string({ unit: 'binary', maxLength }).map((string) => Buffer.from(string.replace(/[\r\n]/g, ''), 'utf8'));

/** A route of the document with its parameters filled in, or any path at all. */
const target = fc.oneof(
  fc
    .tuple(fc.constantFrom(...Object.keys(paths)), fc.stringMatching(/^[a-z0-9%.~_-]{1,40}$/))
    .map(([path, value]) => Buffer.from(path.replaceAll(/\{[^}]+\}/g, value))),
  fc.constantFrom('/docs', '/openapi.json', '/api/v1/data/a/records/export?where={}', '*', '').map(Buffer.from),
  bytes(200).map((path) => Buffer.concat([Buffer.from('/'), withoutBreaks(path)])),
);
const query = fc.oneof(
  fc.constant(Buffer.alloc(0)),
  bytes(60).map((array) => Buffer.concat([Buffer.from('?'), withoutBreaks(array)])),
);
/** Bytes that would end a line or a part of it. */
const withoutBreaks = (array: Buffer) => Buffer.from(array.filter((byte) => ![0x0a, 0x0d, 0x20].includes(byte)));

const headerName = fc.oneof(
  fc.constantFrom(
    'accept',
    'accept-encoding',
    'if-match',
    'if-none-match',
    'idempotency-key',
    'range',
    'expect',
    'cookie',
  ),
  fc.constantFrom('authorization', 'content-encoding', 'x-forwarded-for', 'x-request-id', 'origin', 'upgrade', 'te'),
  fc.stringMatching(/^[a-z-]{1,20}$/),
);
const contentType = fc.oneof(
  fc.constantFrom('application/json', 'application/merge-patch+json', 'application/x-ndjson', 'text/plain'),
  text(30).map((value) => value.toString('latin1')),
);
const request = fc.record({
  method: fc.constantFrom(...METHODS.filter((method) => method !== 'CONNECT')),
  target,
  query,
  headers: fc.array(fc.tuple(headerName, text(60)), { maxLength: 5 }),
  contentType,
  body: fc.oneof(
    fc.json().map((json) => Buffer.from(json)),
    bytes(300),
  ),
  signedIn: fc.boolean(),
});

it('answers any well-framed request at all with a declared answer or a problem', async () => {
  await fc.assert(
    fc.asyncProperty(request, async (sent) => {
      const path = Buffer.concat([sent.target, sent.query]);
      const lines = [
        ['host', Buffer.from('localhost')],
        ['connection', Buffer.from('close')],
        ...(sent.signedIn ? [['authorization', Buffer.from(`Bearer ${token}`)]] : []),
        ...(sent.body.length > 0 ? [['content-type', Buffer.from(sent.contentType)]] : []),
        ['content-length', Buffer.from(String(sent.body.length))],
        ...sent.headers,
      ].map(([name, value]) =>
        Buffer.concat([Buffer.from(`${name}: `), Buffer.from(value ?? ''), Buffer.from('\r\n')]),
      );
      const head = [Buffer.from(`${sent.method} `), path, Buffer.from(' HTTP/1.1\r\n'), ...lines, Buffer.from('\r\n')];
      const answers = readAnswers(await exchange(Buffer.concat([...head, sent.body])), sent.method === 'HEAD');
      expect(answers.length).toBe(1);
      for (const answer of answers) expectDeclared(answer, sent.method, path.toString('latin1'));
    }),
    EACH,
  );
});

it('answers bytes that are not HTTP with a problem, or closes the connection', async () => {
  const start = fc.constantFrom(
    '',
    'GET / HTTP/1.1\r\n',
    'POST /api/v1/auth/login HTTP/1.1\r\nhost: a\r\n',
    'GET ',
    '\r\n',
  );
  await fc.assert(
    fc.asyncProperty(start, bytes(400), async (before, garbage) => {
      const answers = readAnswers(await exchange(Buffer.concat([Buffer.from(before), garbage]), true), false);
      for (const answer of answers) expectDeclared(answer, 'POST', '/');
    }),
    EACH,
  );
});
