import { get } from 'node:http';
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib';
import { startApp, type TestApp } from '../support/app.js';
import type { Client } from '../support/client.js';
import { type MadeCollection, makeCollection, makeRecord, must } from '../support/collections.js';
import { expectProblem } from '../support/problem.js';
import { lines, NDJSON } from '../support/uploads.js';

let app: TestApp;
let ada: Client;
let set: MadeCollection;
beforeAll(async () => {
  app = await startApp();
  ada = await app.user('ada');
});
beforeEach(async () => {
  set = await makeCollection(ada);
});
afterAll(() => app?.close());

/** The raw lines: parsing them would hide a difference. */
async function exported(query: Record<string, string> = {}): Promise<string[]> {
  const { text } = must(200, await app.client.get(`${set.records}/export?${new URLSearchParams(query)}`));
  expect(text === '' || text.endsWith('\n')).toBe(true);
  return text.split('\n').slice(0, -1);
}
const numbers = (of: string[]) => of.map((line) => JSON.parse(line).data.n);

describe('an export', () => {
  it('has every record, newest or oldest first, each line equal to a read of the record', async () => {
    const paths: string[] = [];
    for (const [n, at] of ['2001-01-01T00:00:00.001Z', '0001-01-01T00:00:00Z', '9999-12-31T23:59:59.999Z'].entries()) {
      paths.push((await makeRecord(ada, set, { n }, at)).path);
    }
    const reads = await Promise.all(paths.map(async (path) => (await app.client.get(path)).text));
    expect(await exported()).toEqual([reads[2], reads[0], reads[1]]);
    expect(await exported({ order: 'asc' })).toEqual([reads[1], reads[0], reads[2]]);
  });

  it('has records of one time in the order of the list', async () => {
    const at = '2001-01-01T00:00:00Z';
    for (let n = 0; n < 7; n++) await makeRecord(ada, set, { n }, at);
    for (const order of ['asc', 'desc']) {
      const { body } = must(200, await app.client.get(`${set.records}?order=${order}`));
      expect(numbers(await exported({ order }))).toEqual(
        body.items.map((item: { data: { n: number } }) => item.data.n),
      );
    }
  });

  it('keeps odd data exactly', async () => {
    const odd = [
      { '': 'empty', ' ': '"', "'": "''", '\\': '\\\\', '\\.': '\\.' },
      { text: 'tab\t line\n return\r form\f back\b low\u0001\u0002\u001f del\u007f nel\u0085 ls\u2028 ps\u2029' },
      { text: 'é e\u0301 🦀 中 \ufeff \uffff', csv: 'a,"b";c', json: '{"a":[1,"\\n"]}', copy: '\\N \\t \\x41 \\.' },
      {
        numbers: [0, -0.1, 1.5e-7, 5e-324, 2.5e-308, 9007199254740991],
        nothing: [null, {}, [], '', false],
      },
      {},
    ];
    const reads: string[] = [];
    for (const data of odd) {
      const { path } = await makeRecord(ada, set, data, `2001-01-01T00:00:0${reads.length}Z`);
      reads.push((await app.client.get(path)).text);
    }
    const found = await exported({ order: 'asc' });
    expect(found).toEqual(reads);
    expect(found.map((line) => JSON.parse(line).data)).toEqual(odd);
  });

  it('has the records that match the filters, whatever characters these contain', async () => {
    const odd = ["it's", "';--", '\\', "\\'", '"', '$1', 'é🦀', "E'\\x27", '%', '\n'];
    for (const [n, a] of odd.entries())
      await makeRecord(ada, set, { n, a, [a]: { deep: [a] } }, `2001-01-0${(n % 9) + 1}T00:00:00Z`);
    for (const [n, a] of odd.entries()) {
      for (const where of [{ a }, { [a]: { deep: [a] } }, { n, a }]) {
        expect([where, numbers(await exported({ where: JSON.stringify(where) }))]).toEqual([where, [n]]);
      }
    }
    const [from, to] = ['2001-01-02T00:00:00Z', '2001-01-04T01:00:00+01:00'];
    expect(numbers(await exported({ from, to, order: 'asc' }))).toEqual([1, 2]);
    expect(numbers(await exported({ from, to, where: '{"a":"\\\\"}' }))).toEqual([2]);
    expect(await exported({ where: '{"a":"its"}' })).toEqual([]);
  });

  it('is empty when there are no records', async () => {
    expect(must(200, await app.client.get(`${set.records}/export`)).text).toBe('');
  });

  it('states its type and how it may be cached, also for HEAD', async () => {
    const secret = await makeCollection(ada, 'private');
    await makeRecord(ada, secret);
    for (const method of ['GET', 'HEAD']) {
      for (const [records, caching] of [
        [set.records, 'no-cache'],
        [secret.records, 'private, no-cache'],
      ]) {
        const { status, headers } = await ada.send(method, `${records}/export`, undefined);
        expect([status, headers.get('content-type')]).toEqual([200, 'application/x-ndjson']);
        expect([headers.get('cache-control'), headers.get('vary')]).toEqual([caching, 'Accept-Encoding']);
      }
    }
  });

  it('of a private collection is for its owner and admins, and answers 404 to anyone else', async () => {
    const secret = await makeCollection(ada, 'private');
    await makeRecord(ada, secret);
    for (const client of [ada, app.admin]) expect((await client.get(`${secret.records}/export`)).text).toMatch(/\n$/);
    for (const client of [app.client, await app.user()]) {
      expectProblem(await client.get(`${secret.records}/export`), 'not-found');
    }
    expectProblem(await ada.get('/api/v1/data/nothing/records/export'), 'not-found');
  });

  it('is for callers who accept NDJSON', async () => {
    const ask = (accept: string) => app.client.get(`${set.records}/export`, { accept });
    for (const accept of ['application/json', 'text/html', 'application/x-ndjson;q=0']) {
      expectProblem(await ask(accept), 'not-acceptable');
    }
    for (const accept of [
      '*/*',
      'application/*',
      'application/x-ndjson',
      'application/json, application/x-ndjson;q=0.1',
    ]) {
      must(200, await ask(accept));
    }
  });

  it('refuses unknown and invalid parameters', async () => {
    for (const query of [
      'order=up',
      'limit=5',
      'cursor=x',
      'where=[]',
      'where={',
      'where={"a":"\\u0000"}',
      'from=today',
    ]) {
      expectProblem(
        await app.client.get(`${set.records}/export?${query.replaceAll('"', '%22').replaceAll('\\', '%5C')}`),
        'invalid-request',
      );
    }
  });

  it('is compressed for callers who accept it', async () => {
    must(200, await ada.post(`${set.records}/bulk`, lines(1, 30_000), NDJSON));
    const plain = await exported();
    expect(numbers(plain).sort((a, b) => a - b)).toEqual(Array.from({ length: 30_000 }, (_, i) => i + 1));
    for (const [encoding, decompress] of [
      ['gzip', gunzipSync],
      ['br', brotliDecompressSync],
      ['zstd', zstdDecompressSync],
    ] as const) {
      const bytes = await rawBody(`${set.records}/export`, encoding);
      expect(bytes.length).toBeLessThan(30_000 * 100);
      expect(decompress(bytes).toString().split('\n').slice(0, -1)).toEqual(plain);
    }
  });
});

/** The body as it was sent: fetch would decompress it. */
async function rawBody(path: string, encoding: string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    get(app.url + path, { headers: { 'accept-encoding': encoding } }, (response) => {
      expect([response.headers['content-encoding'], response.headers.vary]).toEqual([encoding, 'Accept-Encoding']);
      response.toArray().then((chunks) => resolve(Buffer.concat(chunks)), reject);
    }).on('error', reject);
  });
}
