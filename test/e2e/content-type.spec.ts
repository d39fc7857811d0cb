import { gzipSync } from 'node:zlib';
import { ADMIN, startApp, type TestApp } from '../support/app.js';
import { expectProblem } from '../support/problem.js';
import { sendRaw } from '../support/raw.js';

const LOGIN = '/api/v1/auth/login';

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app?.close());

/** Sends the header as it is over a socket: a client would normalise it. */
const login = (contentType: string, body = JSON.stringify(ADMIN)) =>
  sendRaw(
    app.url,
    `POST ${LOGIN} HTTP/1.1\r\nHost: localhost\r\n${contentType}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );

it.each([
  'application/json',
  'application/json; charset=utf-8',
  'application/json;charset="UTF-8"',
  'APPLICATION/JSON',
])('reads %s', async (type) => {
  expect((await login(`Content-Type: ${type}\r\n`)).status).toBe(200);
});

it.each([
  'application/x-www-form-urlencoded',
  'multipart/form-data; boundary=x',
  'text/plain',
  'text/json',
  'application/xml',
  'application/x-ndjson',
  'application/merge-patch+json',
  'application/jsonp',
  'application/json2',
  'application/json; charset=latin1',
  'application/json; charset=utf-16',
  'application/jsonx; a=application/json',
  '*/*',
  'json',
])('refuses %s with 415', async (type) => {
  expectProblem(await login(`Content-Type: ${type}\r\n`), 'unsupported-media-type');
});

it('refuses a body without a Content-Type, or with an empty one', async () => {
  expectProblem(await login(''), 'unsupported-media-type');
  expectProblem(await login('Content-Type:\r\n'), 'unsupported-media-type');
});

it('refuses a form, whatever its label', async () => {
  const form = `email=${encodeURIComponent(ADMIN.email)}&password=${ADMIN.password}`;
  expectProblem(await login('Content-Type: application/x-www-form-urlencoded\r\n', form), 'unsupported-media-type');
  expectProblem(await login('Content-Type: application/json\r\n', form), 'invalid-request');
});

it.each([
  'application/json;',
  'application/json; ',
  'application/json;;',
  '\tapplication/json',
  'application/json\t',
  'application/json\t; charset=utf-8',
  'Application/JSON;\tCharset=UTF-8',
  'application/json ; charset=utf-8',
  'application/json, text/plain',
  'application/json; charset',
])('validates a body labelled %j as JSON, or refuses it', async (type) => {
  const good = await login(`Content-Type: ${type}\r\n`);
  if (good.status !== 200) expectProblem(good, 'unsupported-media-type');
  for (const flawed of [
    '{"email":"a@example.com","password":"12345678","__proto__":{"role":"admin"}}',
    '{"email":"a\\u0000@example.com","password":"12345678"}',
    'email=a@example.com',
  ]) {
    const answer = await login(`Content-Type: ${type}\r\n`, flawed);
    expectProblem(answer, good.status === 200 ? 'invalid-request' : 'unsupported-media-type');
  }
});

it('accepts a merge patch only for PATCH', async () => {
  const { admin } = app;
  const path = `/api/v1/users/${admin.userId}`;
  const { headers } = await admin.get(path);
  const type = { 'content-type': 'application/merge-patch+json', 'if-match': headers.get('etag') as string };
  expect((await admin.send('PATCH', path, { name: 'Patched' }, type)).status).toBe(200);
  expectProblem(await admin.put('/api/v1/data/flights', { visibility: 'public' }, type), 'unsupported-media-type');
});

it('refuses a compressed body, and a bomb before it is unpacked', async () => {
  const bomb = gzipSync(Buffer.alloc(50 * 1024 * 1024, ' '));
  for (const body of [gzipSync(JSON.stringify(ADMIN)), bomb]) {
    const answer = await app.client.send('POST', LOGIN, body, { 'content-encoding': 'gzip' });
    expectProblem(answer, 'unsupported-media-type');
    expect(answer.headers.get('accept-encoding')).toBe('identity');
  }
  for (const encoding of ['br', 'GZIP', 'identity, gzip', 'zstd', 'unheard-of'])
    expectProblem(await app.client.post(LOGIN, ADMIN, { 'content-encoding': encoding }), 'unsupported-media-type');
  expect((await app.client.post(LOGIN, ADMIN, { 'content-encoding': 'identity' })).status).toBe(200);
});
