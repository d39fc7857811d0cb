import { startApp, type TestApp } from '../support/app.js';
import type { Client } from '../support/client.js';
import { etagOf, type MadeCollection, makeCollection, makeRecord, must } from '../support/collections.js';

let app: TestApp;
let ada: Client;
let set: MadeCollection;
beforeAll(async () => {
  app = await startApp();
  ada = await app.user('ada');
  set = await makeCollection(ada);
});
afterAll(() => app?.close());

const countRecords = async () =>
  (await app.database.query<{ n: number }>('SELECT count(*)::int AS n FROM records'))[0]!.n;

/** `depth` arrays, one in another. */
const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);

describe('data comes back exactly as it was', () => {
  const odd: [string, string][] = [
    ['unicode', '{"é":"e\u0301","🦀":"\\ud83e\\udd80 \u2028\u2029\ufeff\uffff","中":"\u202e"}'],
    ['escapes', '{"t":"\\" \\\\ \\/ \\b\\f\\n\\r\\t \\u0001\\u001f\u007f","\\\\":"\\\\n","\\n":"\\\\u0000"}'],
    ['COPY marks', '{"a":"\\\\N","b":"\\\\.","c":"\\t\\\\t"}'],
    ['empty keys and values', '{"":{"":[]},"a":"","b":{},"c":[[],[{}]],"d":null}'],
    ['names of JavaScript', '{"constructor":1,"prototype":{},"toString":"x","hasOwnProperty":null,"toJSON":1}'],
    ['a constructor of its own', '{"constructor":{"name":"Boeing"}}'],
    ['keys that are numbers', '{"2":"b","1":"a","-1":0,"01":1}'],
    ['floats', '[0.1,-1.5e-7,1e-320,5e-324,2.2250738585072014e-308,0.30000000000000004,123456789.12345679]'],
    ['integers up to the last safe one', '[9007199254740991,-9007199254740991,0,1e15,1.0,100e-2]'],
    ['literals', '[true,false,null,"true","null","1"]'],
  ];

  it.each(odd)('%s', async (_, text) => {
    const json = text.startsWith('[') ? `{"list":${text}}` : text;
    const made = must(201, await ada.post(set.records, `{"data":${json}}`));
    const path = made.headers.get('location') as string;
    expect(made.body.data).toEqual(JSON.parse(json));
    expect((await app.client.get(path)).body).toEqual(made.body);
    const listed = must(200, await app.client.get(`${set.records}?limit=1`));
    expect(listed.body.items).toEqual([made.body]);
    const patched = must(200, await ada.patch(path, { data: { patched: 1 } }, { 'if-match': '*' }));
    expect(patched.body.data).toEqual({ ...JSON.parse(json), patched: 1 });
  });

  it('nested to the deepest allowed level, the 32nd of the body', async () => {
    const data = `{"deep":${nested(30)}}`;
    const made = must(201, await ada.post(set.records, `{"data":${data}}`));
    expect(made.body.data).toEqual(JSON.parse(data));
  });

  it('of 65,536 bytes, with 413 for one byte more to POST, PUT and PATCH', async () => {
    const sized = (bytes: number) => ({ x: 'é'.repeat((bytes - 8) / 2) });
    const full = sized(65_536);
    expect(Buffer.byteLength(JSON.stringify(full))).toBe(65_536);
    const { path } = await makeRecord(ada, set, full);
    expect((await ada.get(path)).body.data).toEqual(full);
    const before = await countRecords();
    const any = { 'if-match': '*' };
    expect((await ada.post(set.records, { data: sized(65_538) })).status).toBe(413);
    expect((await ada.put(path, { data: { x: 'x'.repeat(65_529) } }, any)).status).toBe(413);
    expect((await ada.patch(path, { data: { y: 1 } }, any)).status).toBe(413);
    expect((await ada.get(path)).body).toMatchObject({ data: full, version: 1 });
    expect(await countRecords()).toBe(before);
  });
});

describe('numbers come back to the last digit', () => {
  const written: [string, string][] = [
    ['0.12345678901234567890', '0.12345678901234567890'],
    ['4503599627370497.5', '4503599627370497.5'],
    ['-9007199254740990.999', '-9007199254740990.999'],
    ['1e-400', `0.${'0'.repeat(399)}1`],
    ['5e-324', `0.${'0'.repeat(323)}5`],
    ['-1.50e-7', '-0.000000150'],
    ['123.456E+2', '12345.6'],
    ['100e-2', '1'],
    ['1e15', '1000000000000000'],
    ['0e-99999', '0'],
    ['-0', '0'],
    ['0.30000000000000004', '0.30000000000000004'],
  ];

  it.each(written)('%s', async (source, text) => {
    const { records, path: collection } = await makeCollection(ada);
    const body = `{"data":{"n":${source},"list":[{"\\\\":${source}}],"s":"1e-999 ${source}"}}`;
    const kept = [`"n": ${text}`, `[{"\\\\": ${text}}]`, `"s": "1e-999 ${source}"`];
    const shows = (answer: { text: string }) => {
      for (const one of kept) expect(answer.text).toContain(one);
    };
    const made = must(201, await ada.post(records, body));
    const path = made.headers.get('location') as string;
    shows(made);
    for (let n = 0; n < 2; n++) shows(must(200, await app.client.get(path)));
    shows(must(200, await ada.patch(path, '{"data":{"x":1}}', { 'if-match': '*' })));
    shows(must(200, await ada.put(path, body, { 'if-match': '*' })));
    for (const query of ['records?limit=1', 'records/export', `records?where={"n":${encodeURIComponent(source)}}`])
      shows(must(200, await app.client.get(`${collection}/${query}`)));
    must(200, await ada.delete(path, { 'if-match': '*' }).then((answer) => ({ ...answer, status: 200 })));
    expect(must(200, await ada.post(`${records}/bulk`, `[${body}]`)).body.inserted).toBe(1);
    shows(must(200, await app.client.get(`${records}`)));
    for (let n = 0; n < 2; n++)
      expect(must(200, await app.client.get(`${collection}/stats?by=n`)).text).toMatch(
        new RegExp(`"value" ?: ?${text.replace('.', '[.]')},`),
      );
  });

  it.each(['1e308', '-1e16', '9007199254740991.5', '1e-401', `0.${'1'.repeat(401)}`, '1e-999999999'])(
    'except %s, which is refused',
    async (source) => {
      const before = await countRecords();
      for (const body of [`{"data":{"n":[${source}]}}`, `{"data":${source}}`])
        expect((await ada.post(set.records, body)).status).toBe(400);
      expect(await countRecords()).toBe(before);
    },
  );
});

describe('data that only looks long', () => {
  it('is accepted, whatever its strings look like', async () => {
    const data = { note: '1e-999 '.repeat(66), ids: Array(999).fill('0199b3c2-1e5e-7d31-95e9-5e-123456789') };
    const { path } = await makeRecord(ada, set, data);
    must(200, await ada.patch(path, { data: { x: 1 } }, { 'if-match': '*' }));
    must(200, await ada.put(path, { data }, { 'if-match': '*' }));
    expect(must(200, await ada.post(`${set.records}/bulk`, [{ data }])).body.inserted).toBe(1);
  });
});

describe('an invalid body is refused with the place of its mistake, and not stored:', () => {
  const refused: [string, string, string][] = [
    ['a NUL in a text', '{"data":{"a":"x\\u0000"}}', '/data/a'],
    ['a NUL in a key', '{"data":{"a":{"\\u0000":1}}}', '/data/a/\0'],
    ['a high surrogate alone', '{"data":{"a":[0,"\\ud800"]}}', '/data/a/1'],
    ['a low surrogate alone', '{"data":{"a":"\\udc00\\ud800"}}', '/data/a'],
    ['a lone surrogate in a key', '{"data":{"\\ud800":1}}', '/data/\ufffd'],
    ['__proto__', '{"data":{"a":[{"__proto__":{"isAdmin":true}}]}}', '/data/a/0/__proto__'],
    ['__proto__ by escapes', '{"data":{"\\u005f_proto__":1}}', '/data/__proto__'],
    ['__proto__ beside data', '{"data":{},"__proto__":{"isAdmin":true}}', '/__proto__'],
    ['constructor.prototype', '{"data":{"constructor":{"prototype":{"isAdmin":true}}}}', '/data/constructor'],
    ['a 33rd level', `{"data":{"a":${nested(31)}}}`, `/data/a${'/0'.repeat(30)}`],
    ['100,000 levels', `{"data":{"a":${nested(100_000)}}}`, `/data/a${'/0'.repeat(30)}`],
    ['2^53', '{"data":{"a":9007199254740992}}', '/data/a'],
    ['-2^53', '{"data":{"a":-9007199254740992}}', '/data/a'],
    ['2^53+1, which rounding would hide', '{"data":{"a":[9007199254740993]}}', '/data/a/0'],
    ['a long integer', '{"data":{"a":123456789012345678901234567890}}', '/data/a'],
    ['1e999', '{"data":{"a":{"b":1e999}}}', '/data/a/b'],
    ['-1e999', '{"data":{"a":-1e999}}', '/data/a'],
    ['an unknown field', '{"data":{},"colour":"red"}', '/colour'],
    ['an unknown field with a / and a ~', '{"data":{},"a/b~c":1}', '/a~1b~0c'],
    ['no data', '{}', '/data'],
    ['data that is a list', '{"data":[]}', '/data'],
    ['data that is null', '{"data":null}', '/data'],
    ['data that is a text', '{"data":"{}"}', '/data'],
    ['a list', '[]', ''],
    ['null', 'null', ''],
  ];

  it.each(refused)('%s', async (_, body, pointer) => {
    const { path, etag } = await makeRecord(ada, set);
    const before = await countRecords();
    const answers = [await ada.post(set.records, body), await ada.put(path, body, { 'if-match': etag })];
    if (pointer !== '/data' || body !== '{}') answers.push(await ada.patch(path, body, { 'if-match': etag }));
    for (const { status, headers, body: problem } of answers) {
      expect(status).toBe(400);
      expect(headers.get('content-type')).toBe('application/problem+json');
      expect(problem.errors).toEqual([{ pointer, detail: expect.stringMatching(/^(is|must|holds) /) }]);
    }
    expect(await countRecords()).toBe(before);
    expect((await ada.get(path)).body).toMatchObject({ data: { a: 1 }, version: 1 });
    expect(({} as Record<string, unknown>).isAdmin).toBeUndefined();
  });

  it.each([
    ['a byte that is not UTF-8', [0xff]],
    ['an overlong form', [0xc0, 0x80]],
    ['a surrogate as bytes', [0xed, 0xa0, 0x80]],
    ['half a character', [0xe2, 0x82]],
    ['a bare NUL', [0x00]],
    ['a bare line end', [0x0a]],
  ])('%s', async (_, bytes) => {
    const before = await countRecords();
    const body = Buffer.concat([Buffer.from('{"data":{"a":"'), Buffer.from(bytes), Buffer.from('"}}')]);
    expect((await ada.post(set.records, new Uint8Array(body))).status).toBe(400);
    expect(await countRecords()).toBe(before);
  });

  it('text that is not JSON, with the position of the error', async () => {
    const broken: [string, RegExp][] = [
      ['{"data":{},}', /character 12/],
      ['{"data":{"a":01}}', /character 15/],
      ["{'data':{}}", /character 2/],
      ['{"data":{"a":NaN}}', /./],
      ['', /./],
      ['{"data":', /./],
    ];
    for (const [body, detail] of broken) {
      const answer = await ada.post(set.records, body);
      expect([body, answer.status, answer.body.detail]).toEqual([body, 400, expect.stringMatching(detail)]);
      expect(answer.body.detail).not.toMatch(/JSON\.parse|Unexpected|token/);
    }
  });
});

it('keeps names with escapes apart in one record and in a thousand, when they are changed and when they are counted', async () => {
  const { records, path } = await makeCollection(ada);
  const names = ['\\', '"', '\n', '\\n', 'a\\', 'a"', '\t'];
  const texts = names.map((name) => JSON.stringify({ h: 1, [name]: { [name]: 1 } }));
  for (const data of texts) {
    const made = must(201, await ada.post(records, `{"data":${data}}`));
    const at = made.headers.get('location') as string;
    must(200, await ada.patch(at, { data: { x: 1 } }, { 'if-match': etagOf(made) }));
    must(200, await ada.post(`${records}/bulk`, `[{"data":${data}}]`));
  }
  for (const [index, name] of names.entries()) {
    const where = encodeURIComponent(texts[index] as string);
    const { text, body } = must(200, await ada.get(`${records}?where=${where}`));
    expect([name, body.items.length]).toEqual([name, 2]);
    expect(text.split(`${JSON.stringify(name)}: {${JSON.stringify(name)}: 1}`)).toHaveLength(3);
    const stats = must(200, await ada.get(`${path}/stats?by=${encodeURIComponent(name)}`));
    expect(stats.text).toContain(`"values":[{"value":{${JSON.stringify(name)}:1},"count":2}]`);
  }
});

it('refuses numbers that would take megabytes in an answer, and names their line in an upload', async () => {
  const { records } = await makeCollection(ada);
  const data = { tiny: Array(9000).fill(5e-324) };
  expect(JSON.stringify(data).length).toBeLessThan(65_536);
  expect((await ada.post(records, { data })).status).toBe(413);
  const { body } = must(200, await ada.post(`${records}/bulk`, [{ data: {} }, { data }, { data: { tiny: 5e-324 } }]));
  expect(body).toEqual({ inserted: 2, failed: 1, errors: [{ line: 2, pointer: '/data', detail: expect.any(String) }] });
});
