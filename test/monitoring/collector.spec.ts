import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { INSTALLING_MS, run } from '../clients/journey.js';
import { until } from '../support/collections.js';
import { pause } from '../support/process.js';
import { describeWith } from '../support/program.js';
import { started } from '../support/started.js';
import { EVERYTHING, newTrace, TracedApp } from '../support/traced.js';

/** The collector is large, and is compiled once. */
const BUILDING_MS = 600_000;

/** What the file of OTLP's JSON has of one kind. */
// biome-ignore lint/suspicious/noExplicitAny: any part of OTLP
type Part = any;

describeWith('go', "OpenTelemetry's own collector", (go) => {
  const app = new TracedApp();
  let folder: string;
  let collector: ChildProcess;
  let url: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'floodgate-collector-'));
    await run(go, ['build', '-o', join(folder, 'collector'), '.'], { cwd: 'test/monitoring/collector' });
    const pipeline = { receivers: ['otlp'], exporters: ['file'] };
    const settings = {
      receivers: { otlp: { protocols: { http: { endpoint: '127.0.0.1:0' } } } },
      exporters: { file: { path: join(folder, 'received.json'), flush_interval: '100ms' } },
      service: {
        pipelines: { traces: pipeline, metrics: pipeline, logs: pipeline },
        telemetry: { metrics: { level: 'none' } },
      },
    };
    // JSON is YAML.
    collector = started(
      spawn(join(folder, 'collector'), ['--config', `yaml:${JSON.stringify(settings)}`], {
        stdio: ['ignore', 'ignore', 'pipe'],
      }),
    );
    url = await new Promise((resolve, reject) => {
      let said = '';
      collector.stderr?.on('data', (chunk) => {
        said += chunk;
        const address = /Starting HTTP server.*?"endpoint": ?"([^"]+)"/.exec(said)?.[1];
        if (address && said.includes('Everything is ready')) resolve(`http://${address}`);
      });
      collector.once('close', () => reject(new Error(`the collector did not start: ${said}`)));
    });
  }, INSTALLING_MS + BUILDING_MS);
  afterAll(async () => {
    if (collector?.kill('SIGTERM')) await once(collector, 'exit');
    rmSync(folder, { recursive: true, force: true });
  });

  const received = (): Part[] =>
    readFileSync(join(folder, 'received.json'), 'utf8')
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line));
  const attributes = ({ attributes: pairs }: Part) =>
    Object.fromEntries(pairs.map(({ key, value }: Part) => [key, Object.values(value)[0]]));

  it('understands the traces, metrics and log lines, and can join them', async () => {
    const { program, anyone } = await app.start({ ...EVERYTHING, OTEL_EXPORTER_OTLP_ENDPOINT: url });
    const { traceId, headers } = newTrace();
    await anyone.get('/nowhere', headers);
    await pause(100);
    program.signal('SIGTERM');
    await program.end();
    const inScopes = (ofResource: string, ofScope: string, what: string) =>
      received().flatMap((line) =>
        (line[ofResource] ?? []).flatMap((one: Part) =>
          one[ofScope].flatMap((scope: Part) =>
            scope[what].map((item: Part) => ({ ...item, resource: attributes(one.resource) })),
          ),
        ),
      );
    const ofTrace = (all: Part[]) => all.find((one) => one.traceId === traceId);
    const spanOf = () => ofTrace(inScopes('resourceSpans', 'scopeSpans', 'spans'));
    const lineOf = () => ofTrace(inScopes('resourceLogs', 'scopeLogs', 'logRecords'));
    const durationOf = () =>
      inScopes('resourceMetrics', 'scopeMetrics', 'metrics').findLast(
        (one: Part) => one.name === 'http.server.request.duration',
      );
    await until(async () => [spanOf(), lineOf(), durationOf()].every((one) => one !== undefined));
    const [span, line, duration] = [spanOf(), lineOf(), durationOf()];
    expect(line).toMatchObject({ spanId: span.spanId, severityNumber: 9, severityText: 'info' });
    expect(line.body.stringValue).toMatch(/^GET \/nowhere 404 /);
    expect(attributes(line)).toMatchObject({ 'http.request.method': 'GET', 'http.response.status_code': '404' });
    expect(duration).toMatchObject({ unit: 's', histogram: { aggregationTemporality: 2 } });
    const point = duration.histogram.dataPoints.find(
      (one: Part) => attributes(one)['http.response.status_code'] === '404',
    );
    expect(point).toMatchObject({ count: '1', explicitBounds: expect.arrayContaining([0.005, 10]) });
    expect(point.bucketCounts).toHaveLength(point.explicitBounds.length + 1);
    const ids = [span, line, duration].map(({ resource }) => [
      resource['service.name'],
      resource['service.instance.id'],
    ]);
    expect(ids).toEqual([ids[0], ids[0], ids[0]]);
  });
});
