import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client } from '../support/client.js';
import { type Program, pause, startMain } from '../support/process.js';
import { EVERYTHING, entries, entriesOf, newTrace, TracedApp } from '../support/traced.js';

const app = new TracedApp();

const LOST = /The collector does not take everything[^"]*/;

describe('tracing', () => {
  it('is decided by the caller with a parent-based sampler, and the log still has the trace', async () => {
    const { program, anyone } = await app.start({
      OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
      OTEL_TRACES_SAMPLER_ARG: '0',
    });
    const [unwanted, wanted] = [newTrace('00'), newTrace('01')];
    await anyone.get('/nowhere', unwanted.headers);
    await anyone.get('/nowhere', wanted.headers);
    await app.collector.serverSpan(wanted.traceId);
    // There is no span of the sign-in either, which had no caller's trace.
    expect(app.collector.names.filter((name) => name !== 'GET')).toEqual([]);
    expect(app.collector.of(unwanted.traceId)).toEqual([]);
    const [line] = await entriesOf(program, unwanted.traceId);
    expect(line).toMatchObject({ 'trace.id': unwanted.traceId, 'span.id': expect.stringMatching(/^[0-9a-f]{16}$/) });
  });

  it('covers the share of requests that OTEL_TRACES_SAMPLER_ARG sets', async () => {
    const { anyone } = await app.start({ OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '0.5' });
    for (let n = 0; n < 20; n++) await Promise.all(Array.from({ length: 10 }, () => anyone.get('/nowhere')));
    await pause(1000);
    const { length } = app.collector.names.filter((name) => name === 'GET');
    expect(length).toBeGreaterThan(60);
    expect(length).toBeLessThan(140);
  });

  it('names the service and the process, and includes every worker', async () => {
    const more = { OTEL_SERVICE_NAME: 'tide "1"', OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test' };
    const gzip = { OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip' };
    const { program, anyone } = await app.start({ WEB_CONCURRENCY: '2', ...more, ...gzip });
    await program.says(/listens on.*listens on/s);
    const processes = () => new Set(app.collector.spans.map(({ resource }) => resource['process.pid']));
    for (let n = 0; n < 100 && processes().size < 2; n++) {
      await fetch(`${anyone.url}/nowhere`, { headers: { connection: 'close' } });
      await pause(20);
    }
    expect(processes().size).toBe(2);
    expect(processes()).not.toContain(program.pid);
    const about = { 'service.name': 'tide "1"', 'deployment.environment.name': 'test' };
    for (const { resource } of app.collector.spans) expect(resource).toMatchObject(about);
    for (const entry of entries(program)) expect(entry['service.name']).toBe('tide "1"');
    for (const headers of app.collector.headers) expect(headers['content-encoding']).toBe('gzip');
  });
});

describe('a collector', () => {
  it('gets the last spans, metrics and lines before the exit, however long the export intervals are', async () => {
    const { program, anyone } = await app.start({
      ...EVERYTHING,
      OTEL_BSP_SCHEDULE_DELAY: '60000',
      OTEL_METRIC_EXPORT_INTERVAL: '3600000',
    });
    const { traceId, headers } = newTrace();
    await anyone.get('/nowhere', headers);
    program.signal('SIGTERM');
    expect(await program.end()).toEqual({ code: 0, signal: null });
    expect(app.collector.of(traceId)).toHaveLength(1);
    expect(app.collector.lines.filter((line) => line.traceId === traceId)).toHaveLength(1);
    expect(app.collector.lines.map(({ message }) => message)).toContainEqual('SIGTERM: stopping.');
    const [last = []] = app.collector.exports;
    expect(app.collector.exports).toHaveLength(1);
    const requests = last.find(({ name }) => name === 'http.server.request.duration');
    const unknown = requests?.points.find(({ attributes }) => attributes['http.response.status_code'] === 404);
    expect(unknown?.value).toBe(1);
  });

  it('that is down costs only what it would get, and one line in the log', async () => {
    const { program, anyone } = await app.start({
      ...EVERYTHING,
      OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9',
      OTEL_EXPORTER_OTLP_TIMEOUT: '500',
      OTEL_METRIC_EXPORT_INTERVAL: '3000',
    });
    await expectServing(anyone);
    await program.says(LOST);
    await expectServing(anyone);
    await expectQuickEnd(program);
    expect(program.stdout.match(new RegExp(LOST, 'g'))).toEqual([expect.stringMatching(/ECONNREFUSED/)]);
    expect(entries(program).filter(({ 'log.level': level }) => level === 'error')).toEqual([]);
  });

  it('that takes traces only gets them, and the log says what is lost', async () => {
    app.collector.paths = ['/v1/traces'];
    const { program, anyone } = await app.start({ ...EVERYTHING, OTEL_METRICS_EXPORTER: 'none' });
    const { traceId, headers } = newTrace();
    await anyone.get('/nowhere', headers);
    await app.collector.serverSpan(traceId);
    await program.says(/what it does not take is lost: Not Found/);
    expect([app.collector.lines, app.collector.exports]).toEqual([[], []]);
  });

  it('that accepts everything and never answers costs only what it would get', async () => {
    app.collector.isSilent = true;
    const { program, anyone } = await app.start({ ...EVERYTHING, OTEL_METRIC_EXPORT_INTERVAL: '2000' });
    await expectServing(anyone);
    while (app.collector.headers.length === 0) await pause(20);
    await expectServing(anyone);
    await expectQuickEnd(program);
    // One batch of each kind at a time is under way, and one more at the end: the others are queued, and then dropped.
    expect(app.collector.headers.length).toBeLessThan(24);
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
    [{ OTEL_LOGS_EXPORTER: 'console' }, /^OTEL_LOGS_EXPORTER must be one of otlp, none$/],
  ])('that is configured wrongly by %j stops the start with one line', async (more, line) => {
    const program = startMain(app.settings(more));
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

  /** Packages from which the app loads anything while it starts, answers and stops. */
  async function packagesOf(more: Record<string, string>): Promise<string[]> {
    const hook = join(folder, 'hook.cjs');
    writeFileSync(hook, `process.once('exit', () => console.error('LOADED', Object.keys(require.cache).join()));`);
    const { program, anyone } = await app.start({ NODE_OPTIONS: `--require ${hook}`, ...more });
    await anyone.get('/api/v1/data', newTrace().headers);
    program.signal('SIGTERM');
    await program.end();
    expect(program.stdout.includes('"trace.id"')).toBe(more.OTEL_EXPORTER_OTLP_ENDPOINT === undefined);
    const paths = /LOADED (.*)/.exec(program.stderr)?.[1]?.split(',') ?? [];
    return paths.flatMap((path) => /.*node_modules.((?:@[^/]+.)?[^/]+)/.exec(path)?.[1] ?? []);
  }
  /** pg-boss brings the API, which does nothing alone. */
  const ofTracing = (names: string[]) =>
    names.filter((name) => /opentelemetry|in-the-middle/.test(name) && name !== '@opentelemetry/api');

  it('nothing of OpenTelemetry but its API is loaded, and no line has a trace', async () => {
    const without = await packagesOf({ OTEL_EXPORTER_OTLP_ENDPOINT: '' });
    expect(without).toEqual(expect.arrayContaining(['pg', '@redis/client']));
    expect(ofTracing(without)).toEqual([]);
    expect(ofTracing(await packagesOf({}))).toEqual(
      expect.arrayContaining(['@opentelemetry/sdk-trace', 'require-in-the-middle']),
    );
  });
});
