import { startApp, type TestApp } from '../support/app.js';
import { makeCollection, makeRecord } from '../support/collections.js';
import { expectProblem } from '../support/problem.js';

const ORIGIN = 'https://shop.example.com';
const OTHERS = ['https://evil.example.com', 'http://shop.example.com', `${ORIGIN}:8443`, `${ORIGIN}.evil.com`, 'null'];

let app: TestApp;
let record: { path: string; etag: string };
beforeAll(async () => {
  app = await startApp({ CORS_ORIGINS: `${ORIGIN},http://localhost:5173` });
  record = await makeRecord(app.admin, await makeCollection(app.admin), { text: 'x'.repeat(2000) });
});
afterAll(() => app?.close());

const preflight = (origin: string, path = record.path) =>
  app.client.send('OPTIONS', path, undefined, {
    origin,
    'access-control-request-method': 'PUT',
    'access-control-request-headers': 'authorization,content-type,if-match,x-odd',
  });
const corsOf = (headers: Headers) => [...headers.keys()].filter((name) => name.startsWith('access-control-'));
const namesOf = (headers: Headers, name: string) => headers.get(name)?.toLowerCase().split(', ');

describe('a preflight', () => {
  it('from a configured origin gets 204 with the allowed methods and headers', async () => {
    for (const origin of [ORIGIN, 'http://localhost:5173']) {
      const { status, text, headers } = await preflight(origin);
      expect([status, text]).toEqual([204, '']);
      expect(headers.get('access-control-allow-origin')).toBe(origin);
      expect(namesOf(headers, 'access-control-allow-methods')).toEqual([
        'get',
        'head',
        'post',
        'put',
        'patch',
        'delete',
      ]);
      expect(namesOf(headers, 'access-control-allow-headers')).toEqual(
        expect.arrayContaining(['authorization', 'content-type', 'if-match', 'if-none-match', 'idempotency-key']),
      );
      expect(namesOf(headers, 'access-control-allow-headers')).not.toContain('x-odd');
      expect(Number(headers.get('access-control-max-age'))).toBeGreaterThan(0);
      expect(headers.get('access-control-allow-credentials')).toBeNull();
      expect(headers.get('vary')).toBe('Origin');
      expect(headers.get('x-request-id')).toMatch(/./);
    }
  });

  it('from any other origin gets no CORS headers', async () => {
    for (const origin of OTHERS) {
      const answer = await preflight(origin);
      expectProblem(answer, 'method-not-allowed');
      expect([origin, corsOf(answer.headers)]).toEqual([origin, []]);
      expect(namesOf(answer.headers, 'vary')).toContain('origin');
    }
  });

  it('needs an origin and a method: any other OPTIONS gets 405 with Allow', async () => {
    const requests = [{}, { origin: ORIGIN }, { 'access-control-request-method': 'PUT' }];
    for (const headers of requests) {
      const answer = await app.client.send('OPTIONS', record.path, undefined, headers as Record<string, string>);
      expectProblem(answer, 'method-not-allowed');
      expect(answer.headers.get('allow')).toBe('DELETE, GET, HEAD, PATCH, PUT');
    }
    expectProblem(await app.client.send('OPTIONS', '/nowhere', undefined, { origin: ORIGIN }), 'not-found');
  });
});

describe('an answer', () => {
  const asked = (origin: string) => [
    app.client.get(record.path, { origin }),
    app.client.get(record.path, { origin, 'if-none-match': record.etag }),
    app.client.get('/api/v1/data/nothing-here', { origin }),
    app.client.get('/api/v1/users/me', { origin }),
    app.client.post(record.path, {}, { origin }),
  ];

  it('to a configured origin may be read by its page, error or not, with the headers that it needs', async () => {
    const answers = await Promise.all(asked(ORIGIN));
    expect(answers.map(({ status }) => status)).toEqual([200, 304, 404, 401, 405]);
    for (const { headers } of answers) {
      expect(headers.get('access-control-allow-origin')).toBe(ORIGIN);
      expect(namesOf(headers, 'access-control-expose-headers')).toEqual(
        expect.arrayContaining(['etag', 'link', 'location', 'retry-after', 'idempotency-replayed', 'x-request-id']),
      );
      expect(headers.get('access-control-allow-credentials')).toBeNull();
      expect(namesOf(headers, 'vary')).toContain('origin');
    }
  });

  it('to any other origin, or none, may not be read, and varies by origin', async () => {
    for (const { headers } of await Promise.all([...OTHERS, ''].flatMap(asked))) {
      expect(corsOf(headers)).toEqual([]);
      expect(namesOf(headers, 'vary')).toContain('origin');
    }
  });

  it('varies by both origin and encoding', async () => {
    const { headers } = await app.client.get(record.path, { 'accept-encoding': 'gzip' });
    expect(headers.get('vary')).toBe('Origin, Accept-Encoding');
  });
});

it('has no CORS headers without CORS_ORIGINS', async () => {
  const plain = await startApp();
  try {
    for (const method of ['OPTIONS', 'GET']) {
      const headers = { origin: ORIGIN, 'access-control-request-method': 'PUT' };
      const answer = await plain.client.send(method, '/api/v1/data', undefined, headers);
      expect([method, answer.status]).toEqual([method, method === 'GET' ? 200 : 405]);
      expect(corsOf(answer.headers)).toEqual([]);
      expect(answer.headers.get('vary')).toBe('Accept-Encoding');
    }
  } finally {
    await plain.close();
  }
});
