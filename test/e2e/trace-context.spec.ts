import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { loadConfig } from '../../src/config.js';
import { startOtlp } from '../../src/platform/otlp/otlp.js';
import type { Tracing } from '../../src/platform/tracing/tracing.js';
import { Collector } from '../support/collector.js';

const CALLER = { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', spanId: '00f067aa0ba902b7' };

async function listen(listener: RequestListener) {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => server.close() };
}

it('passes the trace of a request and its state on to servers that fetch() calls', async () => {
  const collector = await Collector.start();
  process.env.OTEL_EXPORTER_OTLP_ENDPOINT = collector.url;
  const otlp = startOtlp(loadConfig({ NODE_ENV: 'test', APP_SECRET: 'x'.repeat(32), ...process.env }));
  const tracing = otlp.tracing as Tracing;
  const heard: IncomingHttpHeaders[] = [];
  const other = await listen(({ headers }, response) => {
    heard.push(headers);
    response.end();
  });
  const handler: RequestListener = async (_request, response) => {
    await (await fetch(`${other.url}/asked?by=us`)).text();
    response.end();
  };
  const server = await listen(tracing.around(handler, () => '/asks/:id'));
  const traceparent = `00-${CALLER.traceId}-${CALLER.spanId}-01`;
  await (await fetch(`${server.url}/asks/1`, { headers: { traceparent, tracestate: 'vendor=1' } })).text();
  await otlp.stop();
  for (const { close } of [other, server]) close();
  await collector.close();

  const [own] = collector.spans.filter(({ kind }) => kind === 'server');
  const [asking] = collector.spans.filter(({ kind }) => kind === 'client');
  expect(own).toMatchObject({ traceId: CALLER.traceId, parentSpanId: CALLER.spanId, name: 'GET /asks/:id' });
  expect(asking).toMatchObject({ traceId: CALLER.traceId, parentSpanId: own?.spanId });
  expect(asking?.attributes['url.full']).toBe(`${other.url}/asked`);
  expect(collector.received).not.toContain('by=us');
  expect(heard).toHaveLength(1);
  expect(heard[0]).toMatchObject({ traceparent: `00-${CALLER.traceId}-${asking?.spanId}-01`, tracestate: 'vendor=1' });
  // A request that the test itself makes has no trace of ours.
  expect(collector.spans).toHaveLength(2);
});
