import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { linesOf, metricsOf, type ReceivedLine, type ReceivedMetric, type ReceivedSpan, spansOf } from './otlp.js';
import { pause } from './process.js';

/** A collector that accepts OTLP over HTTP in Protocol Buffers, like OpenTelemetry's own. */
export class Collector {
  readonly spans: ReceivedSpan[] = [];
  readonly lines: ReceivedLine[] = [];
  /** The metrics of each export. */
  readonly exports: ReceivedMetric[][] = [];
  readonly headers: IncomingHttpHeaders[] = [];
  /** Everything received, to search it for forbidden data. */
  received = '';
  /** Accepts everything and never answers. */
  isSilent = false;
  /** Answers 404 to everything else. */
  paths = ['/v1/traces', '/v1/metrics', '/v1/logs'];

  private constructor(private readonly server: Server) {}

  static async start(): Promise<Collector> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const collector = new Collector(server);
    server.on('request', async (request, response) => {
      const sent = Buffer.concat(await request.toArray());
      const body = request.headers['content-encoding'] === 'gzip' ? gunzipSync(sent) : sent;
      collector.headers.push(request.headers);
      if (collector.isSilent) return;
      const { method, url = '' } = request;
      const isKnown = method === 'POST' && collector.paths.includes(url);
      if (!isKnown || request.headers['content-type'] !== 'application/x-protobuf') {
        return void response.writeHead(404).end();
      }
      collector.received += body.toString('latin1');
      if (url === '/v1/traces') collector.spans.push(...spansOf(body));
      else if (url === '/v1/logs') collector.lines.push(...linesOf(body));
      else collector.exports.push(metricsOf(body));
      response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
    });
    return collector;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  of(traceId: string): ReceivedSpan[] {
    return this.spans.filter((span) => span.traceId === traceId);
  }

  /** The server's span of a trace, once it has arrived. */
  async serverSpan(traceId: string): Promise<ReceivedSpan> {
    for (const deadline = Date.now() + 10_000; ; await pause(20)) {
      const span = this.of(traceId).find(({ kind }) => kind === 'server');
      if (span) return span;
      if (Date.now() > deadline) throw new Error(`no span of ${traceId} came: ${JSON.stringify(this.names)}`);
    }
  }

  get names(): string[] {
    return this.spans.map(({ name }) => name);
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await once(this.server.close(), 'close');
  }
}
