import { startApp, type TestApp } from '../support/app.js';
import type { Client, Response } from '../support/client.js';
import { makeCollection, must, readAll } from '../support/collections.js';

let app: TestApp;
let ada: Client;
let records: string;
beforeAll(async () => {
  app = await startApp();
  ada = await app.user('ada');
});
beforeEach(async () => {
  records = (await makeCollection(ada)).records;
});
afterAll(() => app?.close());

interface Item {
  data: Record<string, unknown>;
  occurredAt: string;
}

const NDJSON = 'application/x-ndjson';
const upload = (body: string | Uint8Array, type = NDJSON): Promise<Response> =>
  ada.post(`${records}/bulk`, body, { 'content-type': type });
const stored = () => readAll<Item>(ada, `${records}?limit=100`);
const numbers = async () => (await stored()).map(({ data }) => data.n as number).sort((a, b) => a - b);
const count = async () => {
  const [row] = await app.database.query<{ n: number }>(
    `SELECT count(*)::int AS n FROM records r JOIN collections c ON c.id = r.collection_id WHERE c.name = $1`,
    [records.split('/')[4]],
  );
  return row!.n;
};
const lines = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => `{"data":{"n":${from + i}}}`);
const detail = expect.any(String);

describe('a bulk upload of lines', () => {
  it.each([
    ['LF', '\n', '\n'],
    ['CRLF', '\r\n', '\r\n'],
    ['no line end after the last line', '\n', ''],
  ])('stores a record for each line, with %s', async (_, end, last) => {
    const { status, body } = await upload(lines(1, 3).join(end) + last);
    expect([status, body]).toEqual([200, { inserted: 3, failed: 0, errors: [] }]);
    expect(await numbers()).toEqual([1, 2, 3]);
  });

  it('reports every bad line with its number and its mistake, counts blank lines, and stores the good ones', async () => {
    const body = [
      ...[
        '{"data":{"n":1}}',
        '',
        '{"data":{"n":',
        '  \t\r',
        '{"data":{"n":2},"occurredAt":"2001-01-01T01:00:00+01:00"}',
      ],
      ...['{"data":[]}', '{"data":{},"extra":1,"a/b":2}', '{"data":{"list":[0,{"x":1e999}]}}', '{}', '7', 'null'],
      ...['{"data":{"__proto__":1}}', '{"data":{},"occurredAt":"soon"}', '{"data":{"a":"\\u0000"}}', '[]'],
      ...['{"data":{}} {"data":{}}', `{"data":{"deep":${'['.repeat(100_000 / 2)}`, '{"data":{"n":3}}'],
    ].join('\n');
    const answer = must(200, await upload(body)).body;
    const found = answer.errors.map(({ line, pointer }: { line: number; pointer: string }) => [line, pointer]);
    expect(found).toEqual([
      [3, ''],
      [6, '/data'],
      [7, '/extra'],
      [7, '/a~1b'],
      [8, '/data/list/1/x'],
      [9, '/data'],
      [10, ''],
      [11, ''],
      [12, '/data/__proto__'],
      [13, '/occurredAt'],
      [14, '/data/a'],
      [15, ''],
      [16, ''],
      [17, ''],
    ]);
    for (const error of answer.errors) expect(error).toEqual({ line: error.line, pointer: error.pointer, detail });
    expect([answer.inserted, answer.failed]).toEqual([3, 13]);
    expect(await numbers()).toEqual([1, 2, 3]);
    const [oldest] = (await stored()).slice(-1);
    expect(oldest).toMatchObject({ data: { n: 2 }, occurredAt: '2001-01-01T00:00:00.000Z' });
  });

  it('treats bytes that are not UTF-8 as a bad line, not as a bad upload', async () => {
    const bytes = Buffer.concat([
      Buffer.from('{"data":{"n":1}}\n{"data":{"a":"'),
      Buffer.from([0xff]),
      Buffer.from('"}}\n'),
    ]);
    const { body } = must(200, await upload(new Uint8Array(bytes)));
    expect(body).toEqual({ inserted: 1, failed: 1, errors: [{ line: 2, pointer: '', detail }] });
  });

  it('refuses data over 65,536 bytes and lines over 1,048,576, and goes on with the next line', async () => {
    const line = (bytes: number) => `{"data":{"x":"${'x'.repeat(bytes - 8)}"}}`;
    const body = [line(65_536), line(65_537), line(2_000_000), '{"data":{"n":4}}'].join('\n');
    expect(must(200, await upload(body)).body).toEqual({
      inserted: 2,
      failed: 2,
      errors: [
        { line: 2, pointer: '/data', detail },
        { line: 3, pointer: '', detail },
      ],
    });
  });

  it('counts neither white space nor anything outside data', async () => {
    const data = `{ "x" : "${'x'.repeat(65_528)}" }`;
    const record = `${' '.repeat(70_000)}{ "data": ${data}, "occurredAt": "2001-01-01T00:00:00Z" }\t`;
    expect(must(200, await upload(`${record}\r\n${record}`)).body).toEqual({ inserted: 2, failed: 0, errors: [] });
    const array = await upload(`[${record}\n,\n${record}\n]`, 'application/json');
    expect(must(200, array).body).toEqual({ inserted: 2, failed: 0, errors: [] });
  });

  it('keeps data exactly', async () => {
    const data = {
      backslashes: '\\ \\\\ \\N \\. \\n \\t \\x41 \\101 \\',
      blanks: 'tab\t line\n return\r form\f back\b nul-like \u0001\u001f \u007f \u0085 \u2028\u2029',
      unicode: 'é e\u0301 🦀 中 \ufeff \uffff',
      '\\"\t\n': [null, true, 0.1, -1.5e-7, 9007199254740991, { '': '' }, []],
      '\\.': '\\.',
    };
    const body = `${JSON.stringify({ data })}\n{"data":{"escaped":"\\u005cN\\ud83e\\udd80\\/"}}`;
    expect(must(200, await upload(body)).body.inserted).toBe(2);
    const found = await stored();
    expect(found.map((item) => item.data)).toEqual(expect.arrayContaining([data, { escaped: '\\N🦀/' }]));
  });

  it('stores each of 12,000 lines, which are three batches, once', async () => {
    const { body } = must(200, await upload(lines(1, 12_000).join('\n')));
    expect(body).toEqual({ inserted: 12_000, failed: 0, errors: [] });
    const [row] = await app.database.query<{ all: number; different: number }>(
      `SELECT count(*)::int AS all, count(DISTINCT data->'n')::int AS different FROM records r
       JOIN collections c ON c.id = r.collection_id WHERE c.name = $1`,
      [records.split('/')[4]],
    );
    expect(row).toEqual({ all: 12_000, different: 12_000 });
  });

  it('lists the first 1,000 mistakes and counts all bad lines', async () => {
    const bad = Array.from({ length: 1500 }, () => '{"data":1}');
    const { body } = must(200, await upload([...lines(1, 2), ...bad, ...lines(3, 3)].join('\n')));
    expect([body.inserted, body.failed, body.errors.length]).toEqual([3, 1500, 1000]);
    expect([body.errors[0].line, body.errors[999].line]).toEqual([3, 1002]);
  });

  it.each(['', '\n', ' \r\n\t\n'])('treats %j as an upload without lines', async (body) => {
    const answer = await upload(body);
    expect([answer.status, answer.body]).toEqual([200, { inserted: 0, failed: 0, errors: [] }]);
  });
});

describe('a bulk upload of an array', () => {
  it('stores its elements, and reports the bad ones by their index', async () => {
    const text =
      ' [ {"data":{"n":1,"s":"a,b]}[{\\""}} ,\n{"data":2},\r\n\t{"data":{"n":[[],{}]},"x":1} , 5,{"data":{"n":2}}] \n';
    const { body } = must(200, await upload(text, 'application/json; charset=utf-8'));
    const found = body.errors.map(({ line, pointer }: { line: number; pointer: string }) => [line, pointer]);
    expect([body.inserted, body.failed, found]).toEqual([
      2,
      3,
      [
        [2, '/data'],
        [3, '/x'],
        [4, ''],
      ],
    ]);
    expect(await numbers()).toEqual([1, 2]);
  });

  it('may be empty', async () => {
    for (const text of ['[]', ' [ \n ] ']) {
      expect(must(200, await upload(text, 'application/json')).body.inserted).toBe(0);
    }
  });

  it('reports a missing element as bad', async () => {
    const { body } = must(200, await upload('[{"data":{}},,{"data":{}},]', 'application/json'));
    expect([body.inserted, body.errors.map(({ line }: { line: number }) => line)]).toEqual([2, [2, 4]]);
  });

  it.each([
    '{"data":{}}',
    '{"items":[]}',
    '7',
    'x[]',
    '',
    ' ',
    '[',
    '[{"data":{}}',
    '[{"data":{}},',
    '["]',
    '[]]',
    '[][]',
    '[] x',
  ])('answers 400 to %j, which is not one array, and stores none of it', async (text) => {
    const { status, body } = await upload(text, 'application/json');
    expect([status, body.title]).toEqual([400, 'The request is not valid']);
    expect(await count()).toBe(0);
  });
});
