import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { type ReceivedSpan, spansOf } from './otlp.js';
import { pause } from './process.js';

/** A collector of traces that accepts OTLP over HTTP in Protocol Buffers, like OpenTelemetry's own at /v1/traces. */
export class Collector {
  readonly spans: ReceivedSpan[] = [];
  readonly headers: IncomingHttpHeaders[] = [];
  /** Everything received, to search it for forbidden data. */
  received = '';
  /** Accepts everything and never answers. */
  isSilent = false;

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
      const isTraces = request.method === 'POST' && request.url === '/v1/traces';
      if (!isTraces || request.headers['content-type'] !== 'application/x-protobuf') {
        return void response.writeHead(404).end();
      }
      collector.received += body.toString('latin1');
      collector.spans.push(...spansOf(body));
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
