import { type MadeCollection, makeCollection, makeRecord, must, until } from '../support/collections.js';
import { type Caller, hangUp } from '../support/crowd.js';
import { endPrograms } from '../support/process.js';
import { inMs, row } from '../support/row.js';
import { type Single, startSingle } from '../support/single.js';
import { NDJSON } from '../support/uploads.js';
import { descriptorsOf, figuresOf } from '../support/watch.js';

const CALLERS = 10_000;
const AT_ONCE = 100;

let one: Single;
let open: MadeCollection;
let hidden: MadeCollection;
let calls: Caller[];
beforeAll(async () => {
  one = await startSingle();
  const token = one.admin.tokens?.accessToken;
  open = await makeCollection(one.admin, 'public');
  hidden = await makeCollection(one.admin, 'private');
  // More than the buffers of a socket hold, so that an export waits for its reader.
  const lines = Array.from({ length: 600 }, (_, n) => JSON.stringify({ data: { n, text: 'x'.repeat(30_000) } }));
  for (const { records } of [open, hidden])
    must(200, await one.admin.post(`${records}/bulk`, lines.join('\n'), NDJSON));
  const { path: publicRecord } = await makeRecord(one.admin, open);
  const { path: privateRecord } = await makeRecord(one.admin, hidden);

  const authorized = `Authorization: Bearer ${token}\r\n`;
  const get = (path: string, headers = authorized) => `GET ${path} HTTP/1.1\r\nHost: x\r\n${headers}\r\n`;
  const post = (path: string, type = 'json', size = 1000, body = '{"data":{"a":1') =>
    `POST ${path} HTTP/1.1\r\nHost: x\r\n${authorized}Content-Type: application/${type}\r\nContent-Length: ${size}\r\n\r\n${body}`;
  const whole = (path: string, body: string) => post(path, 'json', body.length, body);
  const login = JSON.stringify({ email: 'nobody@example.com', password: 'a-password-of-nobody' });
  const upload = `${'{"data":{"a":1}}\n'.repeat(500)}`;
  calls = [
    // Hang up while sending the head or the body.
    { bytes: '', afterMs: 5 },
    { bytes: get(open.path).slice(0, 40), afterMs: 0 },
    { bytes: post('/api/v1/auth/login'), afterMs: 2 },
    { bytes: post(open.records), afterMs: 0 },
    { bytes: post(hidden.records), afterMs: 5 },
    { bytes: post(`${open.records}/bulk`, 'x-ndjson', 1_000_000, upload), afterMs: 5 },
    { bytes: post(`${hidden.records}/bulk?atomic=true`, 'x-ndjson', 1_000_000, upload), afterMs: 20 },
    // Hang up while waiting for the answer, some before its first byte.
    ...[open, hidden].flatMap(({ path, records }): Caller[] => [
      { bytes: get(path), afterMs: 0 },
      { bytes: get(`${records}?limit=100`), afterMs: 0 },
      { bytes: get(`${records}?where=${encodeURIComponent('{"n":17}')}`), afterMs: 1 },
      { bytes: get(`${path}/stats?by=n&bucket=minute`), afterMs: 1 },
      { bytes: get(`${records}/export`), afterMs: 0 },
      { bytes: whole(records, '{"data":{"b":2}}'), afterMs: 0 },
      { bytes: whole(`${records}/bulk`, '[{"data":{"c":3}}]'), afterMs: 1 },
    ]),
    { bytes: get(publicRecord, ''), afterMs: 0 },
    { bytes: get(privateRecord), afterMs: 0 },
    { bytes: whole('/api/v1/auth/login', login), afterMs: 1 },
    // Hang up while reading it.
    { bytes: get(publicRecord, ''), afterBytes: 1 },
    ...[open, hidden].flatMap(({ records }): Caller[] => [
      { bytes: get(`${records}?limit=100`), afterBytes: 1000 },
      { bytes: get(`${records}/export`), afterBytes: 1 },
      { bytes: get(`${records}/export`, `${authorized}Accept-Encoding: gzip\r\n`), afterBytes: 100 },
      { bytes: get(`${records}/export`), afterBytes: 5_000_000 },
    ]),
    { bytes: get(open.path, '') + get(open.path, '') + get(`${open.records}/export`), afterBytes: 2000 },
  ];
}, 90_000);
afterAll(endPrograms);

/** Figures that must be back at zero when all callers have gone. */
async function left() {
  const figures = await figuresOf(one.anyone);
  const sessions = await one.database.query<{ busy: number }>(
    `SELECT count(*) FILTER (WHERE state <> 'idle')::int AS busy FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid()`,
  );
  const [locks] = await one.database.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM pg_locks WHERE pid <> pg_backend_pid()
     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
  );
  return {
    'in hand': figures('admission_in_flight'),
    waiting: figures('admission_queued'),
    'connections in use': figures('db_client_connection_count{db_client_connection_state="used"}'),
    'waiting for a connection': figures('db_client_connection_pending_requests'),
    'sessions that are not idle': sessions[0]?.busy,
    locks: locks?.count,
  };
}

const NOTHING = Object.fromEntries(
  ['in hand', 'waiting', 'connections in use', 'waiting for a connection', 'sessions that are not idle', 'locks'].map(
    (name) => [name, 0],
  ),
);

row(
  27,
  '',
  async () => {
    // After this, pools and caches do not grow any more.
    await hangUp(one.url, calls, 10 * calls.length, AT_ONCE);
    await until(async () => JSON.stringify(await left()) === JSON.stringify(NOTHING), 30);
    const descriptors = descriptorsOf(one.program);

    const begun = Date.now();
    const answered = await hangUp(one.url, calls, CALLERS, AT_ONCE);
    const ms = Date.now() - begun;
    const gone = Date.now();
    await until(async () => JSON.stringify(await left()) === JSON.stringify(NOTHING), 30).catch(() => {});
    expect(await left()).toEqual(NOTHING);
    const quietMs = Date.now() - gone;
    // The sockets of pooled connections to PostgreSQL come and go.
    await until(async () => descriptorsOf(one.program) <= descriptors + 5, 15).catch(() => {});
    expect(descriptorsOf(one.program)).toBeLessThanOrEqual(descriptors + 5);
    // All places for exports are free: the largest allowed number of them is answered at once.
    const exports = await Promise.all([open, hidden].map(({ records }) => one.admin.get(`${records}/export`)));
    expect(exports.map(({ status }) => status)).toEqual([200, 200]);
    for (let i = 0; i < 50; i++) must(201, await one.admin.post(open.records, { data: { i } }));
    await one.expectUnharmed();
    return {
      callers: CALLERS,
      kinds: calls.length,
      'saw something of an answer': answered,
      seconds: Math.round(ms / 1000),
      'all quiet after': inMs(quietMs),
      descriptors: `${descriptors} before, ${descriptorsOf(one.program)} after`,
    };
  },
  240_000,
);
