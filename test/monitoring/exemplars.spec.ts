import { spawnSync } from 'node:child_process';
import { makeCollection, makeRecord, must, until } from '../support/collections.js';
import { describeWith, need } from '../support/program.js';
import { Prometheus } from '../support/prometheus.js';
import { newTrace, TracedApp } from '../support/traced.js';

/** What promtool would call otherwise: a name of OpenTelemetry's, and three of prom-client's. */
const LINTED = /^(?:db_client_connection_count|nodejs_active_(?:handles|requests|resources)_total) /;

describeWith('prometheus', 'Prometheus', () => {
  const app = new TracedApp();
  let prometheus: Prometheus | undefined;
  afterEach(() => prometheus?.close());

  it('finds the trace of a slow request by its bucket, and no trace that is not sent', async () => {
    const { anyone, admin } = await app.start();
    prometheus = await Prometheus.start({ 'floodgate-a': anyone.url }, { groups: [] }, ['exemplar-storage']);
    const set = await makeCollection(admin);
    const { path } = await makeRecord(admin, set);
    const [kept, unsent, slow] = [newTrace(), newTrace('00'), newTrace()];
    must(200, await anyone.get(path));
    must(200, await anyone.get(path, kept.headers));
    must(404, await anyone.get('/nowhere', unsent.headers));
    const held = app.database.query('DO $$ BEGIN LOCK TABLE records; PERFORM pg_sleep(0.6); END $$');
    const isHeld = `SELECT FROM pg_locks WHERE relation = 'records'::regclass AND mode = 'AccessExclusiveLock' AND granted`;
    await until(async () => (await app.database.query(isHeld)).length > 0);
    must(200, await anyone.get(`${set.records}?limit=3`, slow.headers));
    await held;

    const began = Date.now() / 1000 - 60;
    const found = async () =>
      (await (prometheus as Prometheus).exemplars('http_server_request_duration_seconds_bucket', began)).flatMap(
        ({ seriesLabels, exemplars }) => exemplars.map((one) => ({ ...one, series: seriesLabels })),
      );
    const of = async (traceId: string) => (await found()).find(({ labels }) => labels.trace_id === traceId);
    await until(async () => (await of(slow.traceId)) !== undefined && (await of(kept.traceId)) !== undefined);
    const slowest = await of(slow.traceId);
    expect(Number(slowest?.value)).toBeGreaterThan(0.25);
    expect(Number(slowest?.value)).toBeLessThanOrEqual(Number(slowest?.series.le));
    expect(slowest?.series).toMatchObject({
      http_route: '/api/v1/data/:collection/records',
      http_response_status_code: '200',
    });
    expect(slowest?.labels.span_id).toBe((await app.collector.serverSpan(slow.traceId)).spanId);
    expect((await of(kept.traceId))?.series.http_route).toBe('/api/v1/data/:collection/records/:id');
    expect(await of(unsent.traceId)).toBeUndefined();

    // The other format has none.
    const { text } = await anyone.get('/metrics', { accept: 'text/plain' });
    expect(text).not.toContain('trace_id');
    const { stdout, stderr } = spawnSync(need('promtool'), ['check', 'metrics'], { input: text, encoding: 'utf8' });
    const said = (stdout + stderr).split('\n').filter(Boolean);
    expect(said.filter((line) => !LINTED.test(line))).toEqual([]);
  });

  it('finds traces of every worker in the figures of one', async () => {
    const { program, anyone } = await app.start({ WEB_CONCURRENCY: '2' });
    await program.says(/listens on.*listens on/s);
    const open = { accept: 'application/openmetrics-text', connection: 'close' };
    const seen = new Set<string>();
    // Each worker has its own last request of the bucket, and the figures of all show one of them.
    await until(async () => {
      await Promise.all(
        Array.from({ length: 8 }, () => fetch(`${anyone.url}/nowhere`, { headers: { connection: 'close' } })),
      );
      const text = await (await fetch(`${anyone.url}/metrics`, { headers: open })).text();
      for (const [, spanId = ''] of text.matchAll(/span_id="(\w+)"/g)) seen.add(spanId);
      const sent = app.collector.spans.filter(({ spanId }) => seen.has(spanId));
      return new Set(sent.map(({ resource }) => resource['process.pid'])).size === 2;
    });
  });

  it('is given no exemplars without tracing', async () => {
    const { anyone } = await app.start({ OTEL_TRACES_EXPORTER: 'none' });
    must(404, await anyone.get('/nowhere', newTrace().headers));
    const { text } = await anyone.get('/metrics', { accept: 'application/openmetrics-text' });
    expect(text).toMatch(/# EOF\n$/);
    expect(text).not.toContain('trace_id');
  });
});
