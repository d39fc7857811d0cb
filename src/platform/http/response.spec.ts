import { createServer, type IncomingMessage, type OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exchange } from '../../../test/support/exchange.js';
import { SECURITY } from './headers.js';
import { HttpResponse } from './response.js';

type Give = (response: ServerResponse) => unknown;

const give =
  (status: number, headers: OutgoingHttpHeaders, ...rest: unknown[]): Give =>
  (response) =>
    response.writeHead(status, headers).end(...(rest as []));
const text = (body: string, headers: OutgoingHttpHeaders = {}) =>
  give(200, { ...headers, 'content-length': String(Buffer.byteLength(body)) }, body);

const answers: Record<string, Give> = {
  'a short text': text('{"ok":true}', { 'content-type': 'application/json', 'x-request-id': 'a.1' }),
  'a text beyond ASCII': text('{"to":"Zürich 🦀"}'),
  'a long text': text('x'.repeat(20_000)),
  'a long text beyond ASCII': text('é'.repeat(20_000)),
  'an empty text': text(''),
  'a text, and more arguments': give(200, { 'content-length': '2' }, 'ok', null, null),
  'a text in another encoding': give(200, { 'content-length': '2' }, '6f6b', 'hex'),
  bytes: give(201, { 'content-length': '2', location: '/here' }, Buffer.from('ok')),
  'no content': give(204, { etag: '"1"' }),
  'not modified': give(304, { etag: '"1"', vary: 'Accept-Encoding' }),
  'a status without a name': give(299, { 'content-length': '2' }, 'ok'),
  'a name of its own': (response) => response.writeHead(200, 'Fine', { 'content-length': '2' }).end('ok'),
  'no length': give(200, { 'content-type': 'text/plain' }, 'ok'),
  pieces: (response) => {
    response.writeHead(200, { 'content-length': '4' });
    response.write('ok');
    response.end('ay');
  },
  'headers set before': (response) => {
    response.setHeader('link', '</next>');
    response.writeHead(200, { 'content-length': '2' }).end('ok');
  },
  'no head at all': (response) => {
    response.statusCode = 202;
    response.end('ok');
  },
  'several values': give(200, { 'content-length': '2', 'set-cookie': ['a=1', 'b=2'] }, 'ok'),
  'a length that is a number': give(200, { 'content-length': 2 }, 'ok'),
  'a header beyond ASCII': give(200, { 'content-length': '2', link: '</é>' }, 'ok'),
  'the last on its connection': (response) => {
    response.shouldKeepAlive = false;
    response.writeHead(200, { 'content-length': '2' }).end('ok');
  },
  'a connection that is to be closed': give(200, { 'content-length': '2', connection: 'close' }, 'ok'),
  'a date of its own': give(200, { 'content-length': '2', date: 'Thu, 01 Jan 1970 00:00:00 GMT' }, 'ok'),
};

const requests: Record<string, string> = {
  GET: 'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
  HEAD: 'HEAD / HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET of HTTP/1.0': 'GET / HTTP/1.0\r\n\r\n',
  'GET that ends the connection': 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
};

const SECURITY_NAMES = new Set(Object.keys(SECURITY));

/** The lines that a server sends with `type` as its ServerResponse, without the date, which may have changed. */
async function sent(type: typeof ServerResponse, answer: Give, request: string, keepAliveTimeout = 7000) {
  const server = createServer({ ServerResponse: type, keepAliveTimeout }, (_: IncomingMessage, response) =>
    answer(response),
  );
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  try {
    const answered = await exchange(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, request);
    return answered.split('\r\n').map((line) => line.replace(/^Date: .* GMT$/, 'Date: now'));
  } finally {
    server.closeAllConnections();
    server.close();
  }
}
const withoutSecurity = (all: string[]) => all.filter((line) => !SECURITY_NAMES.has(line.split(':')[0] ?? ''));

describe.each(Object.entries(requests))('%s', (_, request) => {
  it.each(Object.entries(answers))(
    'gets %s as Node would send it, with the security headers',
    async (_name, answer) => {
      const [ours, nodes] = [await sent(HttpResponse, answer, request), await sent(ServerResponse, answer, request)];
      expect(withoutSecurity(ours)).toEqual(nodes);
      expect(ours).toEqual(
        expect.arrayContaining(Object.entries(SECURITY).map(([name, value]) => `${name}: ${value}`)),
      );
    },
  );
});

it('sends no Keep-Alive header when connections have no time-out', async () => {
  const of = (type: typeof ServerResponse) => sent(type, answers['a short text'] as Give, requests.GET as string, 0);
  expect(withoutSecurity(await of(HttpResponse))).toEqual(await of(ServerResponse));
});

it("keeps an answer's own security header", async () => {
  const own = text('ok', { 'content-security-policy': "default-src 'self'" });
  const found = await sent(HttpResponse, own, requests.GET as string);
  expect(found.filter((line) => /^content-security-policy/i.test(line))).toEqual([
    "content-security-policy: default-src 'self'",
  ]);
});

it.each(['a\r\nset-cookie: b=1', 'a\nb', 'a\0'])(
  'refuses %j in a header, and leaves nothing behind, as Node does',
  async (value) => {
    const refused: unknown[] = [];
    const answer: Give = (response) => {
      try {
        response.writeHead(200, { 'content-length': '2', etag: '"1"', link: value });
      } catch (error) {
        refused.push((error as NodeJS.ErrnoException).code);
      }
      response.writeHead(500, { 'content-length': '2' }).end('no');
    };
    const [ours, nodes] = [HttpResponse, ServerResponse].map((type) => sent(type, answer, requests.GET as string));
    expect(withoutSecurity((await ours) as string[])).toEqual(await nodes);
    expect(refused).toEqual(['ERR_INVALID_CHAR', 'ERR_INVALID_CHAR']);
  },
);
