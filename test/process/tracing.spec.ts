import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ADMIN } from '../support/app.js';
import { Client } from '../support/client.js';
import { makeCollection, makeRecord, must, until } from '../support/collections.js';
import { Collector } from '../support/collector.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { endPrograms, type Program, pause, productionSettings, startMain } from '../support/process.js';
import { TestRedis } from '../support/redis.js';

const RECORD = '/api/v1/data/:collection/records/:id';

let database: TestDatabase;
let redis: TestRedis;
let collector: Collector;
beforeAll(async () => {
  [database, redis] = await Promise.all([createDatabase(), TestRedis.start()]);
});
beforeEach(async () => {
  collector = await Collector.start();
});
afterEach(async () => {
  await endPrograms();
  await collector.close();
});
afterAll(async () => {
  await redis.kill();
  await database.drop();
});

interface Traced {
  program: Program;
  anyone: Client;
  admin: Client;
}

const settings = (more: Record<string, string> = {}): Record<string, string> => ({
  ...productionSettings(database.url),
  REDIS_URL: redis.url,
  ADMIN_EMAIL: ADMIN.email,
  ADMIN_PASSWORD: ADMIN.password,
  OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
  OTEL_BSP_SCHEDULE_DELAY: '50',
  ...more,
});

async function start(more: Record<string, string> = {}): Promise<Traced> {
  const program = startMain(settings(more));
  const anyone = new Client(await program.url());
  return { program, anyone, admin: await anyone.signIn(ADMIN.email, ADMIN.password) };
}

/** A caller's own trace, as its traceparent says it (W3C Trace Context). */
function newTrace(flags = '01') {
  const [traceId, spanId] = [randomBytes(16).toString('hex'), randomBytes(8).toString('hex')];
  return { traceId, spanId, headers: { traceparent: `00-${traceId}-${spanId}-${flags}`, 'x-request-id': traceId } };
}

// biome-ignore lint/suspicious/noExplicitAny: a log line may hold anything
const entries = (program: Program): any[] =>
  program.stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

/** All lines of the log about the request with this id, once its line of the access log is there. */
async function entriesOf(program: Program, id: string) {
  await program.says(new RegExp(`"id":"${id}"[^\\n]*status_code`));
  return entries(program).filter((entry) => entry.http?.request.id === id);
}

describe('with a collector, a request', () => {
  it('has one span in the trace of its caller, and that trace in the log, wherever it is answered', async () => {
    const { program, anyone, admin } = await start();
    const set = await makeCollection(admin);
    const { path } = await makeRecord(admin, set);
    const ask = async (work: (headers: Record<string, string>) => Promise<{ status: number }>) => {
      const { traceId, spanId, headers } = newTrace();
      const { status } = await work(headers);
      const span = await collector.serverSpan(traceId);
      expect(collector.of(traceId).filter(({ kind }) => kind === 'server')).toEqual([span]);
      expect(span).toMatchObject({ parentSpanId: spanId, isError: false, events: [] });
      expect(span.attributes['http.response.status_code']).toBe(status);
      const lines = await entriesOf(program, traceId);
      expect(lines).toEqual([expect.objectContaining({ 'trace.id': traceId, 'span.id': span.spanId })]);
      expect(span.endNs).toBeGreaterThan(span.startNs);
      return { ...span, children: collector.of(traceId).filter(({ parentSpanId }) => parentSpanId === span.spanId) };
    };
    const read = () => ask((headers) => anyone.get(path, headers));
    // Loaded by the edge, then kept, then from its memory.
    const [loaded, , kept] = [await read(), await read(), await read()];
    for (const { name, attributes } of [loaded, kept]) {
      expect(name).toBe(`GET ${RECORD}`);
      expect(attributes).toMatchObject({ 'http.route': RECORD, 'url.path': path, 'http.request.method': 'GET' });
    }
    expect(loaded.children.map(({ name }) => name)).toContainEqual(
      expect.stringMatching(/^pg\.query:record_get_many /),
    );
    expect(kept.children).toEqual([]);
    const etag = (await anyone.get(path)).headers.get('etag') as string;
    const known = await ask((headers) => anyone.get(path, { ...headers, 'if-none-match': etag }));
    expect(known).toMatchObject({ name: `GET ${RECORD}`, attributes: { 'http.response.status_code': 304 } });

    const change = { data: { n: 2 } };
    const patched = await ask((headers) => admin.patch(path, change, { ...headers, 'if-match': etag }));
    expect(patched).toMatchObject({ name: `PATCH ${RECORD}`, attributes: { 'http.route': RECORD } });
    const systems = patched.children.map(({ kind, attributes }) => [kind, attributes['db.system.name']]);
    expect(systems).toContainEqual(['client', 'postgresql']);
    expect(systems).toContainEqual(['client', 'redis']);
    const denied = await ask((headers) => anyone.delete(path, headers));
    expect(denied).toMatchObject({ name: `DELETE ${RECORD}`, attributes: { 'http.response.status_code': 401 } });
    const unknown = await ask((headers) => anyone.get('/nowhere/at/all', headers));
    expect(unknown.name).toBe('GET');
    expect(unknown.attributes['http.route']).toBeUndefined();
    expect(collector.spans.filter(({ name }) => name.includes(set.name) || name.includes('nowhere'))).toEqual([]);
  });

  it('begins a trace where its caller has none, or says so in a way that nobody understands', async () => {
    const { anyone } = await start();
    const broken = [
      'nonsense',
      `00-${'0'.repeat(32)}-${'1'.repeat(16)}-01`,
      `ff-${'1'.repeat(32)}-${'1'.repeat(16)}-01`,
    ];
    for (const traceparent of broken) must(404, await anyone.get('/nowhere', { traceparent }));
    must(404, await anyone.get('/nowhere'));
    while (collector.names.filter((name) => name === 'GET').length < 4) await pause(20);
    const spans = collector.spans.filter(({ name }) => name === 'GET');
    expect(spans.map(({ parentSpanId }) => parentSpanId)).toEqual(['', '', '', '']);
    expect(new Set(spans.map(({ traceId }) => traceId)).size).toBe(4);
  });

  it('tells of its failure: in the span by its status, in the log under its trace with the reason', async () => {
    const { program, anyone } = await start();
    const { traceId, headers } = newTrace();
    await database.query('ALTER TABLE collections RENAME TO gone');
    try {
      must(500, await anyone.get('/api/v1/data', headers));
    } finally {
      await database.query('ALTER TABLE gone RENAME TO collections');
    }
    const span = await collector.serverSpan(traceId);
    expect(span).toMatchObject({ name: 'GET /api/v1/data', isError: true, statusMessage: '' });
    expect(span.attributes).toMatchObject({ 'http.response.status_code': 500, 'error.type': '500' });
    const failed = collector.of(traceId).filter(({ kind, isError }) => kind === 'client' && isError);
    expect(failed).toEqual([expect.objectContaining({ statusMessage: '', events: [] })]);
    const [reason] = await entriesOf(program, traceId);
    expect(reason).toMatchObject({ 'log.level': 'error', 'trace.id': traceId, 'span.id': span.spanId });
    expect(reason.error.message).toMatch(/collections/);
  });

  it('has what it asks of PostgreSQL in its own trace, also when it had to wait for its turn', async () => {
    const { anyone, admin } = await start({ ADMISSION_MAX_REQUESTS: '10', ADMISSION_WAIT_MS: '20000' });
    const set = await makeCollection(admin);
    const traces: (ReturnType<typeof newTrace> & Awaited<ReturnType<typeof makeRecord>>)[] = [];
    while (traces.length < 16) traces.push({ ...(await makeRecord(admin, set)), ...newTrace() });
    // While this holds the table, ten requests wait for it, and the others for those as far as there are places.
    const held = database.query('DO $$ BEGIN LOCK TABLE records; PERFORM pg_sleep(1); END $$');
    await pause(200);
    const answers = traces.map(({ path, etag, headers }) =>
      admin.patch(path, { data: { n: 2 } }, { ...headers, 'if-match': etag }),
    );
    await until(async () => /^admission_queued [1-9]/m.test((await anyone.get('/metrics')).text));
    await held;
    const statuses = (await Promise.all(answers)).map(({ status }) => status);
    const answered = traces.filter((_, at) => statuses[at] === 200);
    expect(answered.length).toBeGreaterThan(10);
    for (const { traceId } of answered) {
      const { spanId } = await collector.serverSpan(traceId);
      const updates = collector.of(traceId).filter(({ name }) => name.startsWith('pg.query:UPDATE'));
      expect(updates).toEqual([expect.objectContaining({ parentSpanId: spanId })]);
    }
  });

  it('has no span when it is a probe or a scrape, nor has what goes on beside all requests', async () => {
    const { anyone } = await start();
    const { traceId, headers } = newTrace();
    for (const path of ['/health/live', '/health/ready', '/health/startup', '/metrics'])
      await anyone.get(path, headers);
    // Heartbeats, checks of sessions and limits are sent meanwhile.
    await pause(1500);
    must(404, await anyone.get('/nowhere'));
    while (!collector.names.includes('GET')) await pause(20);
    expect(collector.of(traceId)).toEqual([]);
    const roots = collector.spans.filter(({ parentSpanId }) => parentSpanId === '').map(({ name }) => name);
    expect([...new Set(roots)].sort()).toEqual([
      'GET',
      'GET /api/v1/users/me',
      'POST /api/v1/auth/login',
      'redis-connect',
    ]);
  });

  it('lets no password, token, address of a caller, query or value of a statement into its spans', async () => {
    const { anyone, admin } = await start({ OTEL_EXPORTER_OTLP_HEADERS: 'api-key=a%20secret%20key,x-team=ours' });
    const user = { email: 'traced@example.com', password: 'a-registered-password', name: 'Somebody Traced' };
    must(201, await anyone.post('/api/v1/auth/register', user));
    const set = await makeCollection(admin);
    await makeRecord(admin, set, { word: 'a-value-of-a-record' });
    const where = encodeURIComponent('{"word":"a-value-of-a-record"}');
    must(200, await anyone.get(`${set.records}?where=${where}`));
    must(200, await anyone.get(`${set.records}/export?where=${where}`));
    must(
      200,
      await admin.post(`${set.records}/bulk`, '{"data":{"word":"a-value-of-a-line"}}', {
        'content-type': 'application/x-ndjson',
      }),
    );
    const wrong = { email: user.email, password: 'a-wrong-password' };
    must(401, await anyone.post('/api/v1/auth/login', wrong));
    const last = newTrace();
    await anyone.get('/nowhere?secret=in-a-query', { ...last.headers, cookie: 'session=a-cookie-value' });
    await collector.serverSpan(last.traceId);
    expect(collector.names).toContain('GET /api/v1/data/:collection/records/export');
    expect(collector.names).toContain('POST /api/v1/data/:collection/records/bulk');
    const { accessToken = '', refreshToken = '' } = admin.tokens ?? {};
    const { APP_SECRET = '' } = settings();
    const secrets = [
      user.email,
      user.password,
      user.name,
      wrong.password,
      ADMIN.email,
      ADMIN.password,
      accessToken,
      refreshToken,
    ];
    secrets.push(APP_SECRET, 'a-value-of', 'in-a-query', 'a-cookie-value', '$argon2', '127.0.0.1:', 'a secret key');
    secrets.push(new URL(database.url).password);
    expect(collector.received).toContain('INSERT INTO');
    for (const secret of secrets) {
      expect(secret.length).toBeGreaterThan(5);
      expect(collector.received).not.toContain(secret);
    }
    expect(collector.headers[0]).toMatchObject({ 'api-key': 'a secret key', 'x-team': 'ours' });
  });
});

describe('what is traced', () => {
  it('is left to the caller by a parent-based sampler, and the log has its trace all the same', async () => {
    const { program, anyone } = await start({
      OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
      OTEL_TRACES_SAMPLER_ARG: '0',
    });
    const [unwanted, wanted] = [newTrace('00'), newTrace('01')];
    await anyone.get('/nowhere', unwanted.headers);
    await anyone.get('/nowhere', wanted.headers);
    await collector.serverSpan(wanted.traceId);
    // Neither of those of the sign-in, which had no caller's trace.
    expect(collector.names.filter((name) => name !== 'GET')).toEqual([]);
    expect(collector.of(unwanted.traceId)).toEqual([]);
    const [line] = await entriesOf(program, unwanted.traceId);
    expect(line).toMatchObject({ 'trace.id': unwanted.traceId, 'span.id': expect.stringMatching(/^[0-9a-f]{16}$/) });
  });

  it('is a share of the requests, as OTEL_TRACES_SAMPLER_ARG says', async () => {
    const { anyone } = await start({ OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '0.5' });
    for (let n = 0; n < 20; n++) await Promise.all(Array.from({ length: 10 }, () => anyone.get('/nowhere')));
    await pause(1000);
    const { length } = collector.names.filter((name) => name === 'GET');
    expect(length).toBeGreaterThan(60);
    expect(length).toBeLessThan(140);
  });

  it('says which service it was, and which of its processes: every worker traces', async () => {
    const more = { OTEL_SERVICE_NAME: 'tide "1"', OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test' };
    const gzip = { OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip' };
    const { program, anyone } = await start({ WEB_CONCURRENCY: '2', ...more, ...gzip });
    await program.says(/listens on.*listens on/s);
    const processes = () => new Set(collector.spans.map(({ resource }) => resource['process.pid']));
    for (let n = 0; n < 100 && processes().size < 2; n++) {
      await fetch(`${anyone.url}/nowhere`, { headers: { connection: 'close' } });
      await pause(20);
    }
    expect(processes().size).toBe(2);
    expect(processes()).not.toContain(program.pid);
    const about = { 'service.name': 'tide "1"', 'deployment.environment.name': 'test' };
    for (const { resource } of collector.spans) expect(resource).toMatchObject(about);
    for (const entry of entries(program)) expect(entry['service.name']).toBe('tide "1"');
    for (const headers of collector.headers) expect(headers['content-encoding']).toBe('gzip');
  });
});

describe('a collector', () => {
  it('gets the last spans before the end, however long they might wait', async () => {
    const { program, anyone } = await start({ OTEL_BSP_SCHEDULE_DELAY: '60000' });
    const { traceId, headers } = newTrace();
    await anyone.get('/nowhere', headers);
    program.signal('SIGTERM');
    expect(await program.end()).toEqual({ code: 0, signal: null });
    expect(collector.of(traceId)).toHaveLength(1);
  });

  it('that is down costs nothing but spans, and one line in the log', async () => {
    const { program, anyone } = await start({
      OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9',
      OTEL_EXPORTER_OTLP_TIMEOUT: '500',
    });
    await expectServing(anyone);
    await program.says(/Spans cannot be delivered/);
    await expectServing(anyone);
    await expectQuickEnd(program);
    expect(program.stdout.match(/Spans cannot be delivered[^"]*/g)).toEqual([expect.stringMatching(/ECONNREFUSED/)]);
    expect(entries(program).filter(({ 'log.level': level }) => level === 'error')).toEqual([]);
  });

  it('that takes everything and never answers costs nothing but spans', async () => {
    collector.isSilent = true;
    const { program, anyone } = await start();
    await expectServing(anyone);
    while (collector.headers.length === 0) await pause(20);
    await expectServing(anyone);
    await expectQuickEnd(program);
    // One batch at a time is under way, and one more at the end for what waits: the others are kept, and then dropped.
    expect(collector.headers.length).toBeLessThan(8);
  });

  async function expectServing(anyone: Client) {
    const begun = Date.now();
    for (let n = 0; n < 60; n++) {
      const answers = await Promise.all(Array.from({ length: 50 }, () => fetch(`${anyone.url}/api/v1/data`)));
      expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
      await Promise.all(answers.map((answer) => answer.arrayBuffer()));
    }
    expect(Date.now() - begun).toBeLessThan(20_000);
  }

  async function expectQuickEnd(program: Program) {
    const begun = Date.now();
    program.signal('SIGTERM');
    expect(await program.end()).toEqual({ code: 0, signal: null });
    expect(Date.now() - begun).toBeLessThan(4000);
  }

  it.each([
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4318' }, /^OTEL_EXPORTER_OTLP_ENDPOINT must be a URL/],
    [{ OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }, /^OTEL_EXPORTER_OTLP_PROTOCOL must be one of http\/protobuf$/],
    [
      { OTEL_EXPORTER_OTLP_HEADERS: 'a-secret-key' },
      /^OTEL_EXPORTER_OTLP_HEADERS must be name=value, separated by commas$/,
    ],
    [{ OTEL_TRACES_SAMPLER: 'sometimes' }, /^OTEL_TRACES_SAMPLER must be one of parentbased_always_on/],
    [{ OTEL_TRACES_SAMPLER_ARG: '1.5' }, /^OTEL_TRACES_SAMPLER_ARG must be 0 to 1$/],
  ])('that is not to be had by %j stops the start with one line', async (more, line) => {
    const program = startMain(settings(more));
    expect(await program.end()).toEqual({ code: 1, signal: null });
    expect(program.stderr.trim().split('\n')).toEqual([expect.stringMatching(line)]);
  });
});

describe('without a collector', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'floodgate-test-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** Packages out of which the app loads something while it starts, answers and stops. */
  async function packagesOf(more: Record<string, string>): Promise<string[]> {
    const hook = join(folder, 'hook.cjs');
    writeFileSync(hook, `process.once('exit', () => console.error('LOADED', Object.keys(require.cache).join()));`);
    const { program, anyone } = await start({ NODE_OPTIONS: `--require ${hook}`, ...more });
    await anyone.get('/api/v1/data', newTrace().headers);
    program.signal('SIGTERM');
    await program.end();
    expect(program.stdout.includes('"trace.id"')).toBe(more.OTEL_EXPORTER_OTLP_ENDPOINT === undefined);
    const paths = /LOADED (.*)/.exec(program.stderr)?.[1]?.split(',') ?? [];
    return paths.flatMap((path) => /.*node_modules.((?:@[^/]+.)?[^/]+)/.exec(path)?.[1] ?? []);
  }
  const ofTracing = (names: string[]) => names.filter((name) => /opentelemetry|in-the-middle/.test(name));

  it('nothing of OpenTelemetry is loaded, and no line has a trace', async () => {
    const without = await packagesOf({ OTEL_EXPORTER_OTLP_ENDPOINT: '' });
    expect(without).toEqual(expect.arrayContaining(['pg', '@redis/client']));
    expect(ofTracing(without)).toEqual([]);
    expect(ofTracing(await packagesOf({}))).toEqual(
      expect.arrayContaining(['@opentelemetry/sdk-trace', 'require-in-the-middle']),
    );
  });
});
