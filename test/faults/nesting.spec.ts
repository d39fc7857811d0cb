import { type MadeCollection, makeCollection, makeRecord, must } from '../support/collections.js';
import { exchange } from '../support/exchange.js';
import { inMs, row } from '../support/row.js';
import { type Single, startSingle } from '../support/single.js';
import { NDJSON } from '../support/uploads.js';

/** On SIGUSR2 the process prints the names that every object inherits. */
const SAY_NAMES = `process.on('SIGUSR2', () => console.log('names: ' + Reflect.ownKeys(Object.prototype).map(String).sort().join()))`;

let one: Single;
let set: MadeCollection;
let record: string;
beforeAll(async () => {
  one = await startSingle({ NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(SAY_NAMES)}` });
  set = await makeCollection(one.admin);
  record = (await makeRecord(one.admin, set)).path;
}, 60_000);
afterEach(() => one.expectUnharmed());
afterAll(() => one?.close());

const ANY = { 'if-match': '*' };

/** Sends the JSON text as the whole body to every route that reads one. @returns the different statuses */
async function sendToAll(body: string): Promise<number[]> {
  const { admin, anyone } = one;
  const login = await Promise.all(
    ['login', 'register', 'refresh', 'logout'].map((route) => anyone.post(`/api/v1/auth/${route}`, body)),
  );
  const merge = { ...ANY, 'content-type': 'application/merge-patch+json' };
  const others = await Promise.all([
    admin.patch(`/api/v1/users/${admin.userId}`, body, ANY),
    admin.patch(`/api/v1/users/${admin.userId}`, body, merge),
    admin.put(set.path, body, ANY),
    admin.post(set.records, body),
    admin.put(record, body, ANY),
    admin.patch(record, body, ANY),
    admin.patch(record, body, merge),
  ]);
  return [...new Set([...login, ...others].map(({ status }) => status))];
}

/** Uploads the text as one element and as one line; both must be refused, alone or with the whole upload. */
async function upload(element: string): Promise<void> {
  const lines = must(200, await one.admin.post(`${set.records}/bulk`, `${element}\n`, NDJSON));
  expect(lines.body).toMatchObject({ inserted: 0, failed: 1 });
  const array = must(200, await one.admin.post(`${set.records}/bulk`, `[${element}]`));
  expect(array.body).toMatchObject({ inserted: 0, failed: 1 });
}

const DEEP = 100_000;
const nested = (open: string, close: string, depth: number, core = '1') =>
  open.repeat(depth) + core + close.repeat(depth);

row(30, '', async () => {
  const deep: Record<string, string> = {
    lists: nested('[', ']', DEEP, ''),
    objects: nested('{"a":', '}', DEEP),
    'lists in data': `{"data":{"a":${nested('[', ']', DEEP)}}}`,
    'objects in data': `{"data":${nested('{"a":', '}', DEEP)}}`,
    'names with a backslash': nested('{"\\\\":', '}', DEEP),
    'both in turn': nested('[{"a":', '}]', DEEP / 2),
    'as many as the limit has bytes': nested('[', ']', 500_000, ''),
    'never closed': '['.repeat(DEEP),
    'in an unknown member': `{"x":${nested('[', ']', DEEP)}}`,
    '33 levels': `{"data":${nested('{"a":', '}', 32)}}`,
  };
  let slowest = 0;
  for (const [name, body] of Object.entries(deep)) {
    const begun = performance.now();
    expect([name, await sendToAll(body)]).toEqual([name, [400]]);
    slowest = Math.max(slowest, performance.now() - begun);
  }
  for (const [open, close] of ['[]', ['{"a":', '}']]) {
    await upload(`{"data":{"a":${nested(open as string, close as string, 10_000)}}}`);
    await upload(`{"data":{"a":${nested(open as string, close as string, DEEP)}}}`);
  }
  for (const depth of [33, 2000]) {
    const where = encodeURIComponent(`{"a":${nested('[', ']', depth, '')}}`);
    expect((await one.admin.get(`${set.records}?where=${where}`)).status).toBe(400);
  }
  // The deepest allowed nesting is stored.
  must(201, await one.admin.post(set.records, `{"data":{"a":${nested('[', ']', 30)}}}`));
  return { bodies: Object.keys(deep).length, 'routes each': 11, 'all of them answered within': inMs(slowest) };
});

/** The names that a process prints. */
async function names(): Promise<string> {
  const { program } = one;
  const said = program.stdout.length;
  program.signal('SIGUSR2');
  for (let i = 0; i < 100; i++) {
    const [, list] = /names: (.*)\n/.exec(program.stdout.slice(said)) ?? [];
    if (list) return list;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error('it does not say its names');
}

const POISON = '{"isAdmin":true,"role":"admin","toString":1}';

row(31, '', async () => {
  const before = await names();
  expect(before).toContain('hasOwnProperty');
  const members = [
    `"__proto__":${POISON}`,
    `"\\u005f_proto__":${POISON}`,
    `"__pr\\u006fto__":${POISON}`,
    '"__proto__":null',
    '"__proto__":1',
    `"a":[{"__proto__":${POISON}}]`,
    `"a":{"b":{"__proto__":{"c":${POISON}}}}`,
    `"constructor":{"prototype":${POISON}}`,
    `"c\\u006fnstructor":{"prot\\u006ftype":${POISON}}`,
    `"a":{"constructor":{"prototype":${POISON}}}`,
    `"constructor":{"constructor":{"prototype":${POISON}}}`,
  ];
  let requests = 0;
  for (const member of members) {
    for (const body of [`{${member}}`, `{"data":{},${member}}`, `{"data":{${member}}}`]) {
      expect([body, await sendToAll(body)]).toEqual([body, [400]]);
      requests += 11;
    }
    await upload(`{"data":{${member}}}`);
    const where = encodeURIComponent(`{${member}}`);
    for (const path of [set.records, `${set.records}/export`, `${set.path}/stats`]) {
      expect((await one.anyone.get(`${path}?where=${where}`)).status).toBe(400);
    }
    requests += 5;
  }
  const parameters = [
    '__proto__',
    '__proto__[a]',
    '__proto__.a',
    'constructor',
    'constructor.prototype.a',
    '%5f_proto__',
  ];
  for (const name of parameters) {
    for (const path of ['/api/v1/data', set.records, `${set.records}/export`, `${set.path}/stats`, '/api/v1/users']) {
      expect((await one.admin.get(`${path}?${name}=1`)).status).toBe(400);
      requests++;
    }
  }
  expect((await one.admin.get('/api/v1/data/__proto__')).status).toBe(400);
  // Headers, fields of the data and collections may have these names, which mean nothing special there.
  const named = `GET ${set.path} HTTP/1.1\r\nHost: x\r\n__proto__: 1\r\nconstructor: 1\r\n\r\n`;
  expect(await exchange(one.url, named)).toMatch(/^HTTP\/1\.1 200 /);
  for (const by of ['__proto__', 'constructor']) must(200, await one.anyone.get(`${set.path}/stats?by=${by}`));
  must(201, await one.admin.put('/api/v1/data/constructor', { visibility: 'public' }));
  must(200, await one.anyone.get('/api/v1/data/constructor'));
  must(201, await one.admin.post(set.records, { data: { constructor: { name: 'Boeing' }, toString: null } }));
  const me = must(200, await one.admin.get('/api/v1/users/me'));
  expect(Object.keys(me.body)).not.toContain('isAdmin');
  expect(await names()).toBe(before);
  return { requests, 'names of Object.prototype': `${before.split(',').length}, the same as before` };
});
