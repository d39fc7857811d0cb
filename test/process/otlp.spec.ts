import * as conventions from '@opentelemetry/semantic-conventions/incubating';
import { makeCollection, makeRecord, must, until } from '../support/collections.js';
import type { ReceivedMetric } from '../support/otlp.js';
import { pause } from '../support/process.js';
import { sendRaw } from '../support/raw.js';
import { EVERYTHING, entries, entriesOf, newTrace, TracedApp } from '../support/traced.js';

const SEVERITIES: Record<string, number> = { trace: 1, debug: 5, info: 9, warn: 13, error: 17, fatal: 21 };

const app = new TracedApp();

/** How OpenTelemetry's specification spells a name for Prometheus. */
const inPrometheus = ({ name, unit, kind, isMonotonic }: ReceivedMetric) => {
  const parts = [name.replaceAll('.', '_')];
  const suffix = { s: 'seconds', By: 'bytes' }[unit];
  if (suffix && !name.includes(suffix)) parts.push(suffix);
  if (kind === 'sum' && isMonotonic && !name.endsWith('_total')) parts.push('total');
  return parts.join('_');
};

/** The samples of metrics as Prometheus' text has them, by name and labels. */
const samplesOf = (metrics: ReceivedMetric[]) =>
  new Map(
    metrics.flatMap((metric) =>
      metric.points.flatMap(({ attributes, value, sum, bounds, counts }) => {
        const labels = (more: Record<string, string | number> = {}) => keyOf({ ...attributes, ...more });
        const name = inPrometheus(metric);
        if (metric.kind !== 'histogram') return [[`${name}{${labels()}}`, value] as const];
        const buckets = [...bounds, '+Inf'].map((le, bucket) => {
          const upTo = counts.slice(0, bucket + 1).reduce((all, count) => all + count, 0);
          return [`${name}_bucket{${labels({ le })}}`, upTo] as const;
        });
        return [...buckets, [`${name}_sum{${labels()}}`, sum] as const, [`${name}_count{${labels()}}`, value] as const];
      }),
    ),
  );

const keyOf = (labels: Record<string, unknown>) =>
  Object.entries(labels)
    .map(([name, value]) => `${name.replaceAll('.', '_')}="${value}"`)
    .sort()
    .join();

const scraped = (text: string) =>
  new Map(
    [...text.matchAll(/^(\w+)(?:\{(.*)\})? (\S+)$/gm)].map(([, name, labels = '', value]) => {
      const pairs = [...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, key, said]) => [key, said]);
      return [`${name}{${keyOf(Object.fromEntries(pairs))}}`, Number(value)] as const;
    }),
  );

/** Figures that change while nothing happens, or with the scrape itself. */
const MOVES = /^(?:process_|nodejs_|db_client_connection_count|admission_limit|cache_|resources_in_use)|\/metrics/;
const still = (samples: Map<string, number>) => [...samples].filter(([name]) => !MOVES.test(name)).sort();

it('gives the collector the figures of /metrics, under the names of the conventions', async () => {
  const { anyone, admin } = await app.start(EVERYTHING);
  const set = await makeCollection(admin);
  const { path } = await makeRecord(admin, set);
  for (let n = 0; n < 5; n++) must(200, await anyone.get(path));
  must(404, await anyone.get('/nowhere'));
  await app.database.query('ALTER TABLE collections RENAME TO gone');
  must(500, await anyone.get('/api/v1/data'));
  await app.database.query('ALTER TABLE gone RENAME TO collections');
  await pause(500);
  const { text } = await anyone.get('/metrics');
  const count = app.collector.exports.length;
  await until(async () => app.collector.exports.length > count + 1);
  const sent = app.collector.exports.at(-1) as ReceivedMetric[];

  expect(still(samplesOf(sent)).length).toBeGreaterThan(80);
  expect(still(samplesOf(sent))).toEqual(still(scraped(text)));
  // What moves is there as well.
  const names = (samples: Map<string, number>) => [...samples.keys()].filter((name) => !name.includes('/metrics'));
  expect(names(samplesOf(sent)).sort()).toEqual(expect.arrayContaining(names(scraped(text)).sort()));

  const known = new Set<string>(Object.values(conventions).filter((value) => typeof value === 'string'));
  const dotted = sent.flatMap(({ name, points }) => [
    name,
    ...points.flatMap(({ attributes }) => Object.keys(attributes)),
  ]);
  const ofConventions = [...new Set(dotted.filter((name) => name.includes('.')))].sort();
  expect(ofConventions.filter((name) => !known.has(name))).toEqual([]);
  expect(ofConventions).toEqual([
    'db.client.connection.count',
    'db.client.connection.max',
    'db.client.connection.pending_requests',
    'db.client.connection.state',
    'error.type',
    'http.request.method',
    'http.response.status_code',
    'http.route',
    'http.server.request.duration',
    'nodejs.eventloop.utilization',
    'url.scheme',
  ]);
  // Nothing else has a name that a convention spells with dots.
  const spellings = new Map([...known].map((name) => [name.replaceAll('.', '_'), name]));
  expect(dotted.filter((name) => !name.includes('.') && spellings.get(name)?.includes('.'))).toEqual([]);

  const requests = sent.find(({ name }) => name === 'http.server.request.duration');
  expect(requests).toMatchObject({ unit: 's', kind: 'histogram', isCumulative: true });
  const failed = requests?.points.find(({ attributes }) => attributes['error.type'] !== undefined);
  expect(failed?.attributes).toEqual({
    'http.request.method': 'GET',
    'http.route': '/api/v1/data',
    'http.response.status_code': 500,
    'error.type': '500',
    'url.scheme': 'http',
  });
  expect(sent.find(({ name }) => name === 'process_cpu_seconds_total')).toMatchObject({
    kind: 'sum',
    isMonotonic: true,
  });
  expect(sent.find(({ name }) => name === 'db.client.connection.count')).toMatchObject({
    kind: 'sum',
    isMonotonic: false,
  });
  expect(sent.find(({ name }) => name === 'redis_up')).toMatchObject({ kind: 'gauge' });
  const startedAt = Number((failed?.startNs ?? 0n) / 1_000_000n);
  expect(Date.now() - startedAt).toBeLessThan(60_000);
});

it('gives each worker an id of its own, and the collector the figures of each', async () => {
  const { program, anyone } = await app.start({ ...EVERYTHING, WEB_CONCURRENCY: '2' });
  await program.says(/listens on.*listens on/s);
  const instances = () => new Set(app.collector.exports.flat().map(({ resource }) => resource['service.instance.id']));
  await until(async () => instances().size === 2);
  for (let n = 0; n < 20; n++) await fetch(`${anyone.url}/nowhere`, { headers: { connection: 'close' } });
  const counted = () =>
    [...instances()].map((id) => {
      const last = app.collector.exports.findLast(([one]) => one?.resource['service.instance.id'] === id);
      const requests = last?.find(({ name }) => name === 'http.server.request.duration');
      return requests?.points.find(({ attributes }) => attributes['http.response.status_code'] === 404)?.value ?? 0;
    });
  await until(async () => counted().reduce((all, count) => all + count, 0) === 20);
});

it.each(['ecs', 'pretty'])(
  'gives the collector each line of the log (%s), with its trace and severity',
  async (format) => {
    const { program, anyone, admin } = await app.start({ ...EVERYTHING, LOG_FORMAT: format, TRUST_PROXY: '127.0.0.1' });
    const [well, unsent] = [newTrace(), newTrace('00')];
    const sent = { ...well.headers, host: 'a', 'x-forwarded-for': '203.0.113.7' };
    const head = Object.entries(sent).map((pair) => `${pair.join(': ')}\r\n`);
    await sendRaw(anyone.url, `GET /nowhere/"quoted"\\ HTTP/1.1\r\n${head.join('')}\r\n`);
    must(404, await anyone.get('/nowhere', unsent.headers));
    const set = await makeCollection(admin);
    const { path } = await makeRecord(admin, set);
    const edge = newTrace();
    for (let n = 0; n < 3; n++) must(200, await anyone.get(path, n === 2 ? edge.headers : {}));
    const bad = newTrace();
    await app.database.query('ALTER TABLE collections RENAME TO gone');
    must(500, await anyone.get('/api/v1/data', bad.headers));
    await app.database.query('ALTER TABLE gone RENAME TO collections');
    const of = (traceId: string) => app.collector.lines.filter((line) => line.traceId === traceId);
    await until(async () => of(bad.traceId).length === 2);

    const [line] = of(well.traceId);
    expect(line).toMatchObject({ severity: 9, level: 'info' });
    expect(line?.message).toMatch(/^GET \/nowhere\/"quoted"\\ 404 [\d.]+ ms$/);
    expect(line?.spanId).toBe((await app.collector.serverSpan(well.traceId)).spanId);
    expect(Math.abs(Number((line?.atNs ?? 0n) / 1_000_000n) - Date.now())).toBeLessThan(30_000);
    expect(of(edge.traceId)).toEqual([expect.objectContaining({ message: expect.stringContaining(` 200 `) })]);
    expect(of(unsent.traceId)).toHaveLength(1);
    const error = of(bad.traceId).find(({ level }) => level === 'error');
    expect(error).toMatchObject({ severity: 17 });
    const {
      'exception.type': type,
      'exception.message': text,
      'exception.stacktrace': stack,
    } = error?.attributes ?? {};
    expect([type, text, stack]).toEqual([
      expect.any(String),
      expect.stringContaining('collections'),
      expect.anything(),
    ]);

    if (format === 'pretty') return;
    expect(line?.attributes).toMatchObject({
      'http.request.method': 'GET',
      'http.response.status_code': 404,
      'http.request.id': well.traceId,
      'url.path': '/nowhere/"quoted"\\',
      'client.address': '203.0.113.7',
    });
    expect(await entriesOf(program, well.traceId)).toHaveLength(1);
    program.signal('SIGTERM');
    await program.end();
    // Standard output has the same lines, and one more.
    const said = entries(program).map((entry) => [entry.message, entry['log.level'], entry['trace.id'] ?? '']);
    const heard = app.collector.lines.map(({ message, level, traceId }) => [message, level, traceId]);
    expect(heard).toEqual(said.slice(0, -1));
    for (const { level, severity } of app.collector.lines) expect(severity).toBe(SEVERITIES[level]);
    for (const { resource } of app.collector.lines) expect(resource).toMatchObject({ 'process.pid': program.pid });
  },
);

it('sends only what is wanted', async () => {
  const { program, anyone } = await app.start({ ...EVERYTHING, OTEL_TRACES_EXPORTER: 'none' });
  const { headers, traceId } = newTrace();
  must(404, await anyone.get('/nowhere', headers));
  await until(async () => app.collector.lines.some(({ message }) => message.includes('/nowhere')));
  await until(async () => app.collector.exports.length > 0);
  await pause(200);
  expect(app.collector.spans).toEqual([]);
  expect((await entriesOf(program, traceId))[0]).not.toHaveProperty(['trace.id']);
});
