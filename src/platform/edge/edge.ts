import type { IncomingHttpHeaders, IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Config } from '../../config.js';
import { type Cache, type Entry, staleness } from '../cache/cache.js';
import { accepts } from '../http/accept.js';
import { Answer } from '../http/answer.js';
import { choose } from '../http/compression.js';
import { corsHeaders } from '../http/headers.js';
import { requestId } from '../http/request-guard.js';
import type { AccessLog } from '../logging/access-log.js';
import { httpMetrics } from '../metrics/http-metrics.js';
import type { Throttle } from '../throttle/throttle.js';
import { isKnown, send, Wire } from './wire.js';

/** A public read that the edge may load by itself. */
export interface Lane {
  /** What its paths look like, with the groups that `load` needs. */
  path: RegExp;
  /** The route's template, for metrics. */
  route: string;
  /** The answer, or undefined when the pipeline has to decide: what is not there, private, not valid. Never throws. */
  load(path: RegExpExecArray, query: string): Entry<Answer> | undefined | Promise<Entry<Answer> | undefined>;
}

const OTHERS_NAMES = ['authorization', 'content-length', 'transfer-encoding', 'content-encoding', 'expect', 'upgrade'];

/**
 * The front door: before Fastify, it answers public reads whose bytes are at hand, and those that a lane can load. It
 * decides nothing itself: what it sends is what the pipeline would have sent, and whatever is out of the ordinary goes there.
 */
export class Edge {
  private readonly lanes: Lane[] = [];
  private readonly wires = new WeakMap<Answer, Wire>();
  private readonly origins: Set<string>;
  private readonly keepAlive: string;
  private cache: Cache | undefined;
  private throttle!: Throttle;
  private isClosing = false;
  private second = 0;
  private date = '';

  constructor(
    config: Config,
    private readonly log: AccessLog,
  ) {
    this.origins = new Set(config.CORS_ORIGINS);
    const seconds = Math.floor(config.KEEP_ALIVE_TIMEOUT_MS / 1000);
    this.keepAlive = `connection: keep-alive\r\nkeep-alive: timeout=${seconds}\r\n`;
  }

  /** To be called when the app is put together; before, everything goes through the pipeline. */
  open(cache: Cache, throttle: Throttle): void {
    this.cache = cache;
    this.throttle = throttle;
  }

  /** From now on answers must say that their connection ends: the pipeline's do. */
  close(): void {
    this.isClosing = true;
  }

  add(lane: Lane): void {
    this.lanes.push(lane);
  }

  /** The listener of the HTTP server: the edge, and behind it the pipeline. */
  before(pipeline: RequestListener): RequestListener {
    return (request, response) => this.handle(request, response, pipeline);
  }

  private handle(request: IncomingMessage, response: ServerResponse, pipeline: RequestListener): void {
    const begun = performance.now();
    const { method, url = '/' } = request;
    if (this.cache === undefined || this.isClosing || (method !== 'GET' && method !== 'HEAD') || !isPlain(request)) {
      return void pipeline(request, response);
    }
    // The pipeline finds that it was counted, and answers one too many.
    if (this.throttle.isLimited(request) && this.throttle.count(request, undefined, begun).wait > 0) {
      return void pipeline(request, response);
    }
    const kept = this.cache.peek<unknown>(url);
    if (kept?.value instanceof Answer && isPublic(kept.value)) {
      const wire = this.wires.get(kept.value);
      if (wire) return void this.answer(request, response, kept as Entry<Answer>, wire, begun);
    }
    const query = url.indexOf('?');
    const path = query < 0 ? url : url.slice(0, query);
    for (const lane of this.lanes) {
      const match = lane.path.exec(path);
      if (!match) continue;
      const go = (entry: Entry<Answer> | undefined) => {
        if (!entry) return pipeline(request, response);
        this.answer(request, response, entry, this.wireOf(entry.value, lane), begun);
      };
      const loaded = lane.load(match, query < 0 ? '' : url.slice(query + 1));
      if (loaded instanceof Promise) void loaded.then(go, () => pipeline(request, response));
      else go(loaded);
      return;
    }
    pipeline(request, response);
  }

  private answer(
    request: IncomingMessage,
    response: ServerResponse,
    entry: Entry<Answer>,
    wire: Wire,
    begun: number,
  ): void {
    const { headers } = request;
    const { encoding, isNeeded } = choose(headers['accept-encoding'] ?? 'identity');
    const variant = wire.in(encoding, isNeeded);
    const finish = (made: Awaited<typeof variant>) => {
      const id = requestId(request);
      const status = isKnown(headers['if-none-match'], made, entry.value.options.etag) ? 304 : 200;
      const stale = staleness(entry);
      const own = `x-request-id: ${id}\r\n${this.corsLines(headers)}${stale ? `cache-status: ${stale}\r\n` : ''}${this.limitLines(request)}date: ${this.now()}\r\n${this.keepAlive}`;
      send(response, made, status, own, request.method === 'HEAD');
      const duration = performance.now() - begun;
      httpMetrics.of(request.method as string, wire.route, status).observe(duration / 1000);
      const address = request.socket.remoteAddress ?? '';
      this.log.write({
        method: request.method as string,
        url: request.url as string,
        status,
        requestId: id,
        address,
        duration,
      });
    };
    if (variant instanceof Promise) void variant.then(finish);
    else finish(variant);
  }

  private wireOf(answer: Answer, { route }: Lane): Wire {
    const known = this.wires.get(answer);
    if (known) return known;
    const wire = new Wire(answer, route, this.origins.size > 0 ? 'Origin' : '');
    this.wires.set(answer, wire);
    return wire;
  }

  private corsLines({ origin }: IncomingHttpHeaders): string {
    if (origin === undefined || !this.origins.has(origin)) return '';
    return Object.entries(corsHeaders(origin))
      .map(([name, value]) => `${name}: ${value}\r\n`)
      .join('');
  }

  private limitLines(request: IncomingMessage): string {
    if (!this.throttle.isLimited(request)) return '';
    return `ratelimit-policy: ${this.throttle.policy}\r\nratelimit: ${this.throttle.count(request).header}\r\n`;
  }

  private now(): string {
    const second = Math.floor(Date.now() / 1000);
    if (second !== this.second) {
      this.second = second;
      this.date = new Date(second * 1000).toUTCString();
    }
    return this.date;
  }
}

/** Nothing about the request needs a decision: who sends it does not matter, it has no body, and JSON is welcome. */
function isPlain({ headers, httpVersion }: IncomingMessage): boolean {
  if (httpVersion !== '1.1' || headers.host === undefined) return false;
  for (const name of OTHERS_NAMES) if (headers[name] !== undefined) return false;
  const { connection, accept } = headers;
  return (
    (connection === undefined || connection.toLowerCase() === 'keep-alive') &&
    (accept === undefined || accepts(accept, 'application/json'))
  );
}

const isPublic = ({ options }: Answer) => options.headers?.['cache-control']?.startsWith('public') === true;
