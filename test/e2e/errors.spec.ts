import { startApp, type TestApp } from '../support/app.js';
import { expectProblem } from '../support/problem.js';
import { sendRaw } from '../support/raw.js';

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app?.close());

const id = '019a0000-0000-7000-8000-000000000000';

/** A path for each route template of the document and of the operations. */
async function paths(): Promise<{ path: string; methods: string[] }[]> {
  const { body } = await app.client.get('/openapi.json');
  const documented = Object.entries(body.paths as Record<string, object>).map(([template, operations]) => ({
    path: template.replace('{collection}', 'flights').replace('{id}', id),
    methods: Object.keys(operations).map((method) => method.toUpperCase()),
  }));
  const operations = ['/', '/metrics', '/openapi.json', '/docs'].map((path) => ({ path, methods: ['GET'] }));
  return [...documented, ...operations];
}

describe('every error is a problem document', () => {
  it('for an unknown path, whatever the method and the body', async () => {
    expectProblem(await app.client.get('/nowhere'), 'not-found');
    expectProblem(await app.client.get('/api/v1/nothing/at/all?limit=1'), 'not-found');
    expectProblem(await app.client.post('/nowhere', 'x', { 'content-type': 'text/plain' }), 'not-found');
    expectProblem(await app.client.delete('/nowhere'), 'not-found');
  });

  it('whose instance is the path without the query, and whose requestId is the one in the header', async () => {
    const answer = await app.client.get('/nowhere?secret=1', { 'x-request-id': 'abc-123' });
    expectProblem(answer, 'not-found');
    expect(answer.body).toMatchObject({ instance: '/nowhere', requestId: 'abc-123' });
  });

  it('for a method that a route does not have, with its methods in Allow', async () => {
    const routes = await paths();
    expect(routes.length).toBeGreaterThan(15);
    for (const { path, methods } of routes) {
      const allow = methods.includes('GET') ? [...methods, 'HEAD'] : methods;
      const others = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'PROPFIND', 'QUERY'];
      for (const method of others.filter((other) => !allow.includes(other))) {
        const answer = await app.client.send(method, path, undefined);
        expect([method, path, answer.status]).toEqual([method, path, 405]);
        expectProblem(answer, 'method-not-allowed');
        const said = answer.headers.get('allow')?.split(', ') ?? [];
        expect([path, said.filter((one) => one !== 'OPTIONS')]).toEqual([path, allow.sort()]);
      }
    }
  });

  it('for a method that no route has, and for OPTIONS of the whole server', async () => {
    const ask = (line: string) => sendRaw(app.url, `${line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
    for (const line of ['OPTIONS *', 'TRACE *', 'TRACE /nowhere', 'PROPFIND /nowhere']) {
      const answer = await ask(line);
      expectProblem(answer, 'method-not-allowed');
      expect(answer.headers.get('allow')).toBe('DELETE, GET, HEAD, PATCH, POST, PUT');
    }
    for (const method of ['TRACE', 'OPTIONS', 'POST']) {
      for (const path of [
        '/',
        '/docs/swagger-ui.css',
        '/docs/index.html',
        '/api/v1/data',
        '/health/live',
        '/metrics',
      ]) {
        const answer = await ask(`${method} ${path}`);
        expectProblem(answer, 'method-not-allowed');
        expect(answer.headers.get('allow')).toBe('GET, HEAD');
      }
    }
    for (const line of ['OPTIONS /nowhere', 'POST /docs/package.json', 'GET *'])
      expectProblem(await ask(line), 'not-found');
  });

  it('for a path that is not percent-encoded UTF-8', async () => {
    for (const part of ['%', '%zz', '%ff', '%C0%80', '%ED%A0%80', 'a%2'])
      expectProblem(
        await sendRaw(app.url, `GET /api/v1/data/${part} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`),
        'invalid-request',
      );
  });

  it('for a query that is not percent-encoded UTF-8', async () => {
    for (const query of ['limit=%', 'limit=%zz', 'cursor=%ff', '%ff=1', 'limit=1&x=%C0%80'])
      expectProblem(await app.client.get(`/api/v1/data?${query}`), 'invalid-request');
  });

  it('for an encoded NUL anywhere in the URL', async () => {
    for (const path of ['/api/v1/data/a%00b', '/%00', '/nowhere?x=%00', '/api/v1/data?cursor=a%00', '/docs/%00'])
      expectProblem(await app.client.get(path), 'invalid-request');
  });

  it('for 2,000 query parameters', async () => {
    const query = Array.from({ length: 2000 }, (_, i) => (i % 2 ? 'a=1' : 'b')).join('&');
    expectProblem(await app.client.get(`/api/v1/data?${query}`), 'invalid-request');
    expectProblem(await app.client.get(`/health/live?${query}`), 'invalid-request');
  });

  it('that names an unknown query parameter', async () => {
    const answer = await app.client.get('/api/v1/data?limit=1&colour=red');
    expectProblem(answer, 'invalid-request');
    expect(answer.body.errors).toEqual([{ pointer: 'colour', detail: expect.any(String) }]);
  });

  it('that names a query parameter that is given twice', async () => {
    const answer = await app.client.get('/api/v1/data?limit=1&limit=2');
    expectProblem(answer, 'invalid-request');
    expect(answer.body.errors).toEqual([{ pointer: 'limit', detail: expect.any(String) }]);
  });

  it('for query parameters named like properties that every JavaScript object has', async () => {
    for (const name of ['__proto__', 'constructor', 'toString', '__proto__[x]', 'constructor.prototype'])
      expectProblem(await app.client.get(`/api/v1/data?${name}=1`), 'invalid-request');
  });

  it('for a path that is too long', async () => {
    expectProblem(await app.client.get(`/api/v1/data/${'a'.repeat(5000)}`), 'uri-too-long');
  });

  it('for a range outside of a file, and a precondition that a file does not meet', async () => {
    const file = '/docs/swagger-ui.css';
    expectProblem(await app.client.get(file, { range: 'bytes=999999999-' }), 'range-not-satisfiable');
    expectProblem(await app.client.get(file, { 'if-match': '"other"' }), 'precondition-failed');
  });

  it('for a missing token and for a bad one', async () => {
    const missing = await app.client.get('/api/v1/users/me');
    expectProblem(missing, 'invalid-token');
    expect(missing.headers.get('www-authenticate')).toBe('Bearer');
    const wrong = await app.client.get('/api/v1/users/me', { authorization: 'Bearer nonsense' });
    expectProblem(wrong, 'invalid-token');
    expect(wrong.headers.get('www-authenticate')).toBe('Bearer error="invalid_token"');
  });
});

describe('x-request-id', () => {
  it("is the caller's own when it is valid", async () => {
    for (const given of ['a', 'Ab.9_-', 'x'.repeat(128)]) {
      const { headers } = await app.client.get('/health/live', { 'x-request-id': given });
      expect(headers.get('x-request-id')).toBe(given);
    }
  });

  it('is a new one when it is not valid', async () => {
    for (const given of ['', 'x'.repeat(129), 'a b', 'a,b', 'ä', '{"x":1}', '../x']) {
      const { headers } = await app.client.get('/health/live', { 'x-request-id': given });
      expect(headers.get('x-request-id')).toMatch(/^[\w-]{12}\.\d{10}$/);
    }
  });

  it('differs for every request that has none', async () => {
    const ids = await Promise.all(
      Array.from({ length: 20 }, async () => (await app.client.get('/health/live')).headers.get('x-request-id')),
    );
    expect(new Set(ids).size).toBe(20);
  });
});

it('reveals no internals when something breaks', async () => {
  await app.database.query('DROP TABLE records');
  const { status } = await app.admin.put('/api/v1/data/broken', { visibility: 'public' });
  expect(status).toBe(201);
  const answer = await app.client.get('/api/v1/data/broken/records');
  expectProblem(answer, 'internal-error');
  expect(Object.keys(answer.body).sort()).toEqual(['detail', 'instance', 'requestId', 'status', 'title', 'type']);
  expect(answer.text).not.toMatch(/does not exist|42P01/);
  expectProblem(await app.admin.post('/api/v1/data/broken/records', { data: {} }), 'internal-error');
  expect((await app.client.get('/health/ready')).status).toBe(200);
});
