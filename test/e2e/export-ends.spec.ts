import { randomBytes } from 'node:crypto';
import { startApp, type TestApp } from '../support/app.js';
import { ask as askAt } from '../support/ask.js';
import { makeCollection, must } from '../support/collections.js';

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app?.close());

const ask = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
  askAt(app.url + path, headers, method);

describe('a large export', () => {
  let path: string;
  beforeAll(async () => {
    const big = await makeCollection(app.admin);
    path = `${big.records}/export`;
    const line = () => JSON.stringify({ data: { text: randomBytes(40_000).toString('base64') } });
    const lines = Array.from({ length: 400 }, line).join('\n');
    must(200, await app.admin.post(`${big.records}/bulk`, lines, { 'content-type': 'application/x-ndjson' }));
  });

  it('leaves both connections of the pool free when it is requested by HEAD', async () => {
    for (let i = 0; i < 6; i++) expect((await ask(path, {}, 'HEAD')).status).toBe(200);
  });

  it.each(['identity', 'gzip', 'br', 'zstd'])(
    'in %s breaks off visibly, and does not hang, when PostgreSQL ends its connection',
    async (encoding) => {
      const response = await fetch(app.url + path, { headers: { 'accept-encoding': encoding } });
      expect(response.headers.get('content-encoding')).toBe(encoding === 'identity' ? null : encoding);
      const ended = await app.database.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SET LOCAL%COPY%' AND state = 'active' AND datname = current_database()`,
      );
      expect(ended).not.toEqual([]);
      await expect(response.text()).rejects.toThrow();
    },
  );
});
