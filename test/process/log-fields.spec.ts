import { once } from 'node:events';
import { request } from 'node:http';
import { ADMIN } from '../support/app.js';
import { Client } from '../support/client.js';
import { makeCollection, makeRecord, must, until } from '../support/collections.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { flatten, flawsOf } from '../support/ecs.js';
import { type Forwarder, forward } from '../support/forwarder.js';
import { endPrograms, type Program, pause, productionSettings, startMain } from '../support/process.js';
import { sendRaw } from '../support/raw.js';
import { TestRedis } from '../support/redis.js';

/** A port on which nothing listens, so that connections are refused. */
const NOWHERE = 'http://127.0.0.1:9';

let database: TestDatabase;
let redis: TestRedis;
let toDatabase: Forwarder;
let toRedis: Forwarder;
beforeAll(async () => {
  [database, redis] = await Promise.all([createDatabase(), TestRedis.start()]);
  [toDatabase, toRedis] = await Promise.all([forward(database.url), forward(redis.url)]);
});
afterEach(endPrograms);
afterAll(async () => {
  await Promise.all([toDatabase?.close(), toRedis?.close()]);
  await redis?.kill();
  await database?.drop();
});

const settings = (more: Record<string, string> = {}): Record<string, string> => ({
  ...productionSettings(toDatabase.url),
  REDIS_URL: toRedis.url,
  ADMIN_EMAIL: ADMIN.email,
  ADMIN_PASSWORD: ADMIN.password,
  LOG_LEVEL: 'trace',
  TRUST_PROXY: '127.0.0.1',
  DATABASE_ACQUIRE_TIMEOUT_MS: '500',
  ...more,
});

const linesOf = ({ stdout }: Program) => stdout.trimEnd().split('\n');

/** Ends the program and checks all its lines. @returns the lines, by level and message */
async function end(program: Program): Promise<string[]> {
  program.signal('SIGTERM');
  await program.end();
  const lines = linesOf(program);
  expect(lines.flatMap(flawsOf)).toEqual([]);
  return lines.map((line) => JSON.parse(line)).map((entry) => `${entry['log.level']} ${entry.message}`);
}

/** Requests something long, and hangs up after its first bytes. */
async function leave(url: string): Promise<void> {
  const asked = request(url).end();
  const [response] = await once(asked, 'response');
  await once(response, 'data');
  asked.on('error', () => {});
  asked.destroy();
}

it('has every line of the log in ECS fields of their types: requests, starts, stops, warnings and errors', async () => {
  const program = startMain(settings());
  const url = await program.url();
  const anyone = new Client(url);
  const admin = await anyone.signIn(ADMIN.email, ADMIN.password);
  const set = await makeCollection(admin);
  const { path } = await makeRecord(admin, set);
  // From the edge and through the pipeline; from valid and invalid addresses of both families.
  const froms = [
    '203.0.113.7',
    '2001:db8:0:8::1',
    '::ffff:203.0.113.7',
    'fe80::1%eth0',
    '203.0.113.7:4711',
    '[2001:db8::1]:80',
    'a"b',
    '\\',
  ];
  for (const from of froms) {
    for (const target of [path, '/nowhere/"quoted"\\']) {
      await sendRaw(url, `GET ${target} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: ${from}\r\n\r\n`);
    }
  }
  must(200, await anyone.get('/health/live'));
  await sendRaw(url, 'GET / HTTP/1.1\r\nno colon\r\n\r\n');
  await sendRaw(url, 'GET /%ff HTTP/1.1\r\nHost: a\r\n\r\n');
  // Requests that their callers abort.
  const line = `{"data":{"text":"${'x'.repeat(5000)}"}}\n`;
  must(200, await admin.post(`${set.records}/bulk`, line.repeat(3000), { 'content-type': 'application/x-ndjson' }));
  await leave(`${url}${set.records}/export`);
  const upload = request(`${url}${set.records}/bulk`, {
    method: 'POST',
    headers: { authorization: `Bearer ${admin.tokens?.accessToken}`, 'content-type': 'application/x-ndjson' },
  }).on('error', () => {});
  upload.write(line.repeat(2000));
  await pause(500);
  upload.destroy();
  // Errors of the app and of its dependencies.
  await database.query('ALTER TABLE collections RENAME TO gone');
  must(500, await anyone.get('/api/v1/data'));
  await database.query('ALTER TABLE gone RENAME TO collections');
  await toDatabase.cut();
  await until(async () => (await anyone.get('/health/ready')).body.status === 'degraded');
  must(503, await anyone.get('/api/v1/data?limit=3'));
  await toDatabase.mend();
  await toRedis.cut();
  await program.says(/Redis cannot be reached/);
  await toRedis.mend();
  await program.says(/Redis is back/);
  const said = await end(program);
  for (const kind of [
    /^info Floodgate listens on/,
    /^info The first admin is/,
    /^debug Mapped .* route$/,
    /^info GET .* 200 [\d.]+ ms$/,
    /^info GET \/health\/live 200/,
    /^info GET \/nowhere\/"quoted"\\ 404/,
    /^info GET \/health\/ready 200/,
    /^warn A connection to PostgreSQL was lost/,
    /^warn A bulk upload to .* ended early/,
    /^error answered 500/,
    /^warn answered 503/,
    /^warn Redis cannot be reached/,
    /^info Redis is back/,
    /^info SIGTERM: stopping/,
    /^info Stopped/,
  ]) {
    expect(said).toContainEqual(expect.stringMatching(kind));
  }
  const names = new Set(linesOf(program).flatMap((text) => flatten(JSON.parse(text)).map(([name]) => name)));
  for (const name of [
    'error.type',
    'error.message',
    'error.stack_trace',
    'log.logger',
    'client.ip',
    'user.id',
    'event.duration',
  ])
    expect(names).toContain(name);
});

it('has the lines of workers, of their primary and of traces in these fields, too', async () => {
  const program = startMain(
    settings({
      WEB_CONCURRENCY: '2',
      OTEL_EXPORTER_OTLP_ENDPOINT: NOWHERE,
      OTEL_EXPORTER_OTLP_TIMEOUT: '300',
      OTEL_BSP_SCHEDULE_DELAY: '50',
    }),
  );
  const url = await program.url();
  await program.says(/listens on.*listens on/s);
  await new Client(url).get('/nowhere');
  await program.says(/The collector does not take everything/);
  const worker = Number(/"process\.pid":(\d+)[^\n]*listens on/.exec(program.stdout)?.[1]);
  process.kill(worker, 'SIGKILL');
  await program.says(/another takes its place/);
  await program.says(/listens on.*listens on.*listens on/s);
  await database.query('ALTER TABLE collections RENAME TO gone');
  must(500, await new Client(url).get('/api/v1/data'));
  await database.query('ALTER TABLE gone RENAME TO collections');
  const said = await end(program);
  expect(said).toContainEqual(expect.stringMatching(/^error Worker \d+ ended \(SIGKILL\): another takes its place/));
  expect(said).toContainEqual(expect.stringMatching(/^warn The collector does not take everything/));
  const traced = linesOf(program).filter((text) => text.includes('"trace.id"'));
  expect(traced.map((text) => JSON.parse(text)['log.level'])).toEqual(expect.arrayContaining(['info', 'error']));
});

it('would notice an unknown field, one of a wrong type, a missing one and a repeated one', () => {
  const line = {
    '@timestamp': '2026-01-31T08:30:00.000Z',
    'ecs.version': '8.10.0',
    'log.level': 'info',
    message: 'Hello',
  };
  expect(flawsOf(JSON.stringify(line))).toEqual([]);
  for (const [more, flaw] of [
    [{ res: { statusCode: 200 } }, /^res\.statusCode is no field/],
    [{ http: { response: { status_code: '200' } } }, /^http\.response\.status_code is no long/],
    [{ event: { duration: 1.5 } }, /^event\.duration is no long/],
    [{ client: { ip: '2001:db8::/64' } }, /^client\.ip is no ip/],
    [{ '@timestamp': 1_769_848_200_000 }, /^@timestamp is no date/],
    [{ 'event.dataset': 'a', event: { dataset: 'b' } }, /^event\.dataset is there twice/],
    [{ message: undefined }, /^message is missing/],
  ] as const) {
    expect(flawsOf(JSON.stringify({ ...line, ...more }))).toEqual([expect.stringMatching(flaw)]);
  }
  expect(flawsOf('{"message":"Hello"')).toEqual([expect.stringMatching(/^not JSON/)]);
});
