import { startApp, type TestApp } from '../support/app.js';
import type { Client } from '../support/client.js';
import { type MadeCollection, makeCollection, makeRecord, must } from '../support/collections.js';

let app: TestApp;
let ada: Client;
let set: MadeCollection;
beforeAll(async () => {
  app = await startApp();
  ada = await app.user('ada');
  set = await makeCollection(ada);
});
afterAll(() => app?.close());

describe('a change of a record', () => {
  const changes: [string, (path: string, headers: Record<string, string>) => Promise<{ status: number }>, number][] = [
    ['PUT', (path, headers) => ada.put(path, { data: { b: 1 } }, headers), 200],
    ['PATCH', (path, headers) => ada.patch(path, { data: { b: 1 } }, headers), 200],
    ['DELETE', (path, headers) => ada.delete(path, headers), 204],
  ];

  it.each(changes)('by %s needs the current tag', async (_, change) => {
    const { path, etag } = await makeRecord(ada, set);
    const bare = etag.slice(1, -1);
    expect((await change(path, {})).status).toBe(428);
    for (const tags of ['"x"', `W/${etag}`, `"${bare}-deflate"`, `"x", W/${etag}`, `"${bare}0"`]) {
      expect([tags, (await change(path, { 'if-match': tags })).status]).toEqual([tags, 412]);
    }
    for (const tags of [bare, '"', 'W/*', `${etag} ${etag}`, '*, "x"']) {
      expect([tags, (await change(path, { 'if-match': tags })).status]).toEqual([tags, 400]);
    }
    expect((await ada.get(path)).body).toMatchObject({ data: { a: 1 }, version: 1 });
  });

  it.each(changes)(
    'by %s accepts the tag alone, in a list or of a compressed variant, and *',
    async (_, change, ok) => {
      for (const suffix of ['', '-gzip', '-br', '-zstd', 'list', '*']) {
        const { path, etag } = await makeRecord(ada, set);
        const variant = `${etag.slice(0, -1)}${suffix}"`;
        const tags = suffix === '*' ? '*' : suffix === 'list' ? `"x" , ${etag},"y"` : variant;
        expect([tags, (await change(path, { 'if-match': tags })).status]).toEqual([tags, ok]);
      }
    },
  );

  it('by DELETE removes it: 404 from then on', async () => {
    const { path, etag } = await makeRecord(ada, set);
    must(204, await ada.delete(path, { 'if-match': etag }));
    for (const [, change] of [['GET', (p: string) => ada.get(p)] as const, ...changes]) {
      expect((await change(path, { 'if-match': etag })).status).toBe(404);
    }
  });

  it('is made once when 100 at once have one tag: one 200 and 99 times 412', async () => {
    const { path, etag } = await makeRecord(ada, set, { n: 0 });
    const patches = Array.from({ length: 100 }, (_, n) => ada.patch(path, { data: { n } }, { 'if-match': etag }));
    const answers = await Promise.all(patches);
    const won = answers.filter(({ status }) => status === 200);
    expect([won.length, answers.filter(({ status }) => status === 412).length]).toEqual([1, 99]);
    expect((await ada.get(path)).body).toEqual(won[0]?.body);
    expect(won[0]?.body.version).toBe(2);
  });
});
