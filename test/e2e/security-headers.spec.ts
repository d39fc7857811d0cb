import { SECURITY } from '../../src/platform/http/headers.js';
import { startApp, type TestApp } from '../support/app.js';
import { makeCollection, makeRecord } from '../support/collections.js';
import { sendRaw } from '../support/raw.js';

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app?.close());

const policyOf = (headers: Headers) =>
  new Map(
    (headers.get('content-security-policy') ?? '').split('; ').map((directive): [string, string] => {
      const [name = '', ...sources] = directive.split(' ');
      return [name, sources.join(' ')];
    }),
  );

it('are on every answer, and forbid browsers to render or frame it', async () => {
  const { path, etag } = await makeRecord(app.admin, await makeCollection(app.admin));
  const raw = (bytes: string) => sendRaw(app.url, bytes);
  const answers = {
    200: await app.client.get(path),
    304: await app.client.get(path, { 'if-none-match': etag }),
    404: await app.client.get('/nowhere'),
    405: await app.client.post('/health/live', {}),
    400: await app.client.get('/api/v1/data/%zz'),
    401: await app.client.get('/api/v1/users/me'),
    406: await app.client.get(path, { accept: 'text/html' }),
    415: await app.client.post('/api/v1/auth/login', 'a=b', { 'content-type': 'application/x-www-form-urlencoded' }),
    431: await raw(`GET / HTTP/1.1\r\nHost: localhost\r\nX-Big: ${'a'.repeat(20_000)}\r\n\r\n`),
  };
  const bad = await raw('this is not HTTP\r\n\r\n');
  for (const [status, answer] of [...Object.entries(answers), ['400', bad] as const]) {
    expect(String(answer.status)).toBe(status);
    for (const [name, value] of Object.entries(SECURITY))
      expect([status, name, answer.headers.get(name)]).toEqual([status, name, value]);
  }
  const policy = policyOf(answers[200].headers);
  expect(policy.get('default-src')).toBe("'none'");
  expect(policy.get('frame-ancestors')).toBe("'none'");
  for (const name of ['script-src', 'style-src', 'connect-src', 'img-src']) expect(policy.has(name)).toBe(false);
});

it('let the documentation page use its own files, and nothing from other origins', async () => {
  const assets = [
    'swagger-ui.css',
    'swagger-ui-bundle.js',
    'swagger-ui-standalone-preset.js',
    'swagger-ui-init.js',
    'favicon-32x32.png',
  ];
  for (const path of ['/docs', ...assets.map((name) => `/docs/${name}`)]) {
    const { status, headers } = await app.client.get(path);
    expect([path, status]).toEqual([path, 200]);
    for (const name of Object.keys(SECURITY))
      expect([path, name, headers.get(name)]).toEqual([path, name, expect.any(String)]);
    expect(Object.fromEntries(policyOf(headers))).toEqual({
      'default-src': "'none'",
      'base-uri': "'none'",
      'form-action': "'none'",
      'frame-ancestors': "'none'",
      'script-src': "'self'",
      'style-src': "'self' 'unsafe-inline'",
      'img-src': "'self' data:",
      'connect-src': "'self'",
    });
  }
});
