import { ADMIN } from '../support/app.js';
import { makeCollection, makeRecord, must, until } from '../support/collections.js';
import { pause } from '../support/process.js';
import { untilHeard } from '../support/replicas.js';
import { entriesOf, newTrace, TracedApp } from '../support/traced.js';

const RECORD = '/api/v1/data/:collection/records/:id';

const app = new TracedApp();

describe('with a collector, a request', () => {
  it("has one span in its caller's trace, and that trace in the log, at the edge and in the pipeline", async () => {
    const { program, anyone, admin } = await app.start();
    // Until then, nothing is served from its cache.
    await untilHeard();
    const set = await makeCollection(admin);
    const { path } = await makeRecord(admin, set);
    const ask = async (work: (headers: Record<string, string>) => Promise<{ status: number }>) => {
      const { traceId, spanId, headers } = newTrace();
      const { status } = await work(headers);
      const span = await app.collector.serverSpan(traceId);
      expect(app.collector.of(traceId).filter(({ kind }) => kind === 'server')).toEqual([span]);
      expect(span).toMatchObject({ parentSpanId: spanId, isError: false, events: [] });
      expect(span.attributes['http.response.status_code']).toBe(status);
      const lines = await entriesOf(program, traceId);
      expect(lines).toEqual([expect.objectContaining({ 'trace.id': traceId, 'span.id': span.spanId })]);
      expect(span.endNs).toBeGreaterThan(span.startNs);
      return {
        ...span,
        children: app.collector.of(traceId).filter(({ parentSpanId }) => parentSpanId === span.spanId),
      };
    };
    const read = () => ask((headers) => anyone.get(path, headers));
    // Loaded by the edge, then cached, then served from the cache.
    const [loaded, , kept] = [await read(), await read(), await read()];
    for (const { name, attributes } of [loaded, kept]) {
      expect(name).toBe(`GET ${RECORD}`);
      expect(attributes).toMatchObject({ 'http.route': RECORD, 'url.path': path, 'http.request.method': 'GET' });
    }
    expect(loaded.children.map(({ name }) => name)).toContainEqual(
      expect.stringMatching(/^pg\.query:records_get_many/),
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
    expect(app.collector.spans.filter(({ name }) => name.includes(set.name) || name.includes('nowhere'))).toEqual([]);
  });

  it('begins a trace when its caller has none or sends an invalid one', async () => {
    const { anyone } = await app.start();
    const broken = [
      'nonsense',
      `00-${'0'.repeat(32)}-${'1'.repeat(16)}-01`,
      `ff-${'1'.repeat(32)}-${'1'.repeat(16)}-01`,
    ];
    for (const traceparent of broken) must(404, await anyone.get('/nowhere', { traceparent }));
    must(404, await anyone.get('/nowhere'));
    while (app.collector.names.filter((name) => name === 'GET').length < 4) await pause(20);
    const spans = app.collector.spans.filter(({ name }) => name === 'GET');
    expect(spans.map(({ parentSpanId }) => parentSpanId)).toEqual(['', '', '', '']);
    expect(new Set(spans.map(({ traceId }) => traceId)).size).toBe(4);
  });

  it('has its failure in the status of the span, and in the log with its trace and the reason', async () => {
    const { program, anyone } = await app.start();
    const { traceId, headers } = newTrace();
    await app.database.query('ALTER TABLE collections RENAME TO gone');
    try {
      must(500, await anyone.get('/api/v1/data', headers));
    } finally {
      await app.database.query('ALTER TABLE gone RENAME TO collections');
    }
    const span = await app.collector.serverSpan(traceId);
    expect(span).toMatchObject({ name: 'GET /api/v1/data', isError: true, statusMessage: '' });
    expect(span.attributes).toMatchObject({ 'http.response.status_code': 500, 'error.type': '500' });
    const failed = app.collector.of(traceId).filter(({ kind, isError }) => kind === 'client' && isError);
    expect(failed).toEqual([expect.objectContaining({ statusMessage: '', events: [] })]);
    const [reason] = await entriesOf(program, traceId);
    expect(reason).toMatchObject({ 'log.level': 'error', 'trace.id': traceId, 'span.id': span.spanId });
    expect(reason.error.message).toMatch(/collections/);
  });

  it('has its queries in its own trace, even when it had to wait in the queue', async () => {
    const { anyone, admin } = await app.start({ ADMISSION_MAX_REQUESTS: '10', ADMISSION_WAIT_MS: '20000' });
    const set = await makeCollection(admin);
    const traces: (ReturnType<typeof newTrace> & Awaited<ReturnType<typeof makeRecord>>)[] = [];
    while (traces.length < 16) traces.push({ ...(await makeRecord(admin, set)), ...newTrace() });
    // While this locks the table, ten requests wait for it, and the others wait in the queue.
    const held = app.database.query('DO $$ BEGIN LOCK TABLE records; PERFORM pg_sleep(1); END $$');
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
      const { spanId } = await app.collector.serverSpan(traceId);
      const updates = app.collector.of(traceId).filter(({ name }) => name.startsWith('pg.query:WITH'));
      expect(updates).toEqual([expect.objectContaining({ parentSpanId: spanId })]);
    }
  });

  it('has no span when it is a probe or a scrape, and neither has background work', async () => {
    const { anyone } = await app.start();
    const { traceId, headers } = newTrace();
    for (const path of ['/health/live', '/health/ready', '/health/startup', '/metrics'])
      await anyone.get(path, headers);
    // Meanwhile heartbeats, checks of sessions and limits are sent.
    await pause(1500);
    must(404, await anyone.get('/nowhere'));
    while (!app.collector.names.includes('GET')) await pause(20);
    expect(app.collector.of(traceId)).toEqual([]);
    const roots = app.collector.spans.filter(({ parentSpanId }) => parentSpanId === '').map(({ name }) => name);
    expect([...new Set(roots)].sort()).toEqual([
      'GET',
      'GET /api/v1/users/me',
      'POST /api/v1/auth/login',
      'redis-connect',
    ]);
  });

  it("has no password, token, caller's address, query string or value of a statement in its spans", async () => {
    const { anyone, admin } = await app.start({ OTEL_EXPORTER_OTLP_HEADERS: 'api-key=a%20secret%20key,x-team=ours' });
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
    await app.collector.serverSpan(last.traceId);
    expect(app.collector.names).toContain('GET /api/v1/data/:collection/records/export');
    expect(app.collector.names).toContain('POST /api/v1/data/:collection/records/bulk');
    const { accessToken = '', refreshToken = '' } = admin.tokens ?? {};
    const { APP_SECRET = '' } = app.settings();
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
    secrets.push(new URL(app.database.url).password);
    expect(app.collector.received).toContain('INSERT INTO');
    for (const secret of secrets) {
      expect(secret.length).toBeGreaterThan(5);
      expect(app.collector.received).not.toContain(secret);
    }
    expect(app.collector.headers[0]).toMatchObject({ 'api-key': 'a secret key', 'x-team': 'ours' });
  });
});
