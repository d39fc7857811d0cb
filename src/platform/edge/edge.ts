import type { IncomingHttpHeaders, IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Config } from '../../config.js';
import { type Cache, type Entry, staleness } from '../cache/cache.js';
import { accepts } from '../http/accept.js';
import { Answer } from '../http/answer.js';
import { choose } from '../http/compression.js';
import { corsHeaders, SECURITY } from '../http/headers.js';
import { unavailable } from '../http/problem.js';
import { requestId } from '../http/request-guard.js';
import { type AccessLog, isProbe } from '../logging/access-log.js';
import { httpMetrics, UNKNOWN_ROUTE } from '../metrics/http-metrics.js';
import type { Admission, Leave, Priority } from '../overload/admission.js';
import type { Throttle } from '../throttle/throttle.js';
import { isKnown, lines, send, type Variant, Wire } from './wire.js';

/** An answer, kept or made for this one request. */
type Read = Entry<Answer> | Answer;

/** A public read that the edge may load by itself. */
export interface Lane {
  /** What its paths look like, with the groups that `load` needs. */
  path: RegExp;
  /** The route's template, for metrics. */
  route: string;
  /** The answer, or undefined when the pipeline has to decide: what is not there, private, not valid. Never throws. */
  load(path: RegExpExecArray, query: string): Read | undefined | Promise<Read | undefined>;
}

const OTHERS_NAMES = ['authorization', 'content-length', 'transfer-encoding', 'content-encoding', 'expect', 'upgrade'];

/**
 * The front door: before Fastify, it answers public reads whose bytes are at hand, and those that a lane can load. It
 * decides nothing itself: what it sends is what the pipeline would have sent, and whatever is out of the ordinary goes there.
 */
export class Edge {
  private readonly lanes: Lane[] = [];
  private readonly priorities: [RegExp, Priority][] = [];
  private readonly wires = new WeakMap<Answer, Wire>();
  private readonly origins: Set<string>;
  private readonly keepAlive: string;
  private readonly answersReads: boolean;
  private cache!: Cache;
  private throttle!: Throttle;
  private admission!: Admission;
  private isClosing = false;
  private second = 0;
  private date = '';

  constructor(
    config: Config,
    private readonly log: AccessLog,
  ) {
    this.answersReads = config.EDGE;
    this.origins = new Set(config.CORS_ORIGINS);
    const seconds = Math.floor(config.KEEP_ALIVE_TIMEOUT_MS / 1000);
    this.keepAlive = `connection: keep-alive\r\nkeep-alive: timeout=${seconds}\r\n`;
  }

  /** To be called when the app is put together; before that nothing is let in. */
  open(cache: Cache, throttle: Throttle, admission: Admission): void {
    this.cache = cache;
    this.throttle = throttle;
    this.admission = admission;
  }

  /** From now on answers must say that their connection ends: the pipeline's do. */
  close(): void {
    this.isClosing = true;
  }

  add(lane: Lane): void {
    this.lanes.push(lane);
  }

  /** Says who comes first, or last, by the path; otherwise writes come before reads. */
  rank(path: RegExp, priority: Priority): void {
    this.priorities.push([path, priority]);
  }

  /** The listener of the HTTP server: the edge, and behind it the pipeline. */
  before(pipeline: RequestListener): RequestListener {
    return (request, response) => this.handle(request, response, pipeline);
  }

  private handle(request: IncomingMessage, response: ServerResponse, pipeline: RequestListener): void {
    const begun = performance.now();
    const { method, url = '/' } = request;
    const isRead = method === 'GET' || method === 'HEAD';
    // The pipeline finds that it was counted, and answers one too many.
    const isTooMany = () => this.throttle.isLimited(request) && this.throttle.count(request, undefined, begun).wait > 0;
    if (!this.answersReads || this.isClosing || !isRead || !isPlain(request) || isTooMany()) {
      return void this.admit(request, response, () => pipeline(request, response));
    }
    const kept = this.cache.peek<unknown>(url);
    if (kept?.value instanceof Answer && isPublic(kept.value)) {
      const wire = this.wires.get(kept.value);
      if (wire) return void this.answer(request, response, wire, staleness(kept), begun);
    }
    const query = url.indexOf('?');
    const path = query < 0 ? url : url.slice(0, query);
    for (const lane of this.lanes) {
      const match = lane.path.exec(path);
      if (!match) continue;
      const go = (read: Read | undefined) => {
        if (!read) return void pipeline(request, response);
        const isKept = !(read instanceof Answer);
        const wire = this.wireOf(isKept ? read.value : read, lane);
        this.answer(request, response, wire, isKept ? staleness(read) : undefined, begun);
      };
      return void this.admit(request, response, () => {
        const loaded = lane.load(match, query < 0 ? '' : url.slice(query + 1));
        if (loaded instanceof Promise) void loaded.then(go, () => pipeline(request, response));
        else go(loaded);
      });
    }
    this.admit(request, response, () => pipeline(request, response));
  }

  /** Does the work when there is room for it, and drops it when its caller goes before that. */
  private admit(request: IncomingMessage, response: ServerResponse, work: () => void): void {
    const { url = '' } = request;
    if (isProbe(url)) return void work();
    const start = (leave: Leave) => {
      response.once('close', () => leave(!response.writableFinished));
      work();
    };
    const waiting = this.admission.enter(this.priorityOf(request), start, () => this.refuse(request, response));
    if (waiting) response.once('close', () => waiting.cancel());
  }

  private priorityOf({ method, url = '' }: IncomingMessage): Priority {
    const query = url.indexOf('?');
    const path = query < 0 ? url : url.slice(0, query);
    for (const [pattern, priority] of this.priorities) if (pattern.test(path)) return priority;
    return method === 'GET' || method === 'HEAD' || method === 'OPTIONS' ? 'read' : 'write';
  }

  /** At once, and without a look at the request: this is what there is time for when there is too much to do. */
  private refuse(request: IncomingMessage, response: ServerResponse): void {
    const id = requestId(request);
    const { method = '', url = '' } = request;
    const problem = unavailable('There is too much to do just now.');
    const body = JSON.stringify(problem.toDocument(url.split('?', 1)[0] as string, id));
    response.writeHead(problem.status, {
      ...SECURITY,
      ...problem.headers,
      ...this.limitHeaders(request),
      'x-request-id': id,
      'cache-control': 'no-store',
      'content-type': 'application/problem+json',
      'content-length': Buffer.byteLength(body),
      // What comes of its body is not read.
      ...(request.complete || method === 'GET' || method === 'HEAD' ? {} : { connection: 'close' }),
    });
    response.end(body);
    httpMetrics.of(method, UNKNOWN_ROUTE, problem.status).observe(0);
    const address = request.socket.remoteAddress ?? '';
    this.log.write({ method, url, status: problem.status, requestId: id, address, duration: 0 });
  }

  private answer(
    request: IncomingMessage,
    response: ServerResponse,
    wire: Wire,
    stale: string | undefined,
    begun: number,
  ): void {
    const { headers, method = '', url = '' } = request;
    const { encoding, isNeeded } = choose(headers['accept-encoding'] ?? 'identity');
    const variant = wire.in(encoding, isNeeded);
    const finish = (made: Variant) => {
      const id = requestId(request);
      const status = isKnown(headers['if-none-match'], made, wire.etag) ? 304 : 200;
      const cacheStatus = stale === undefined ? '' : `cache-status: ${stale}\r\n`;
      const own = `x-request-id: ${id}\r\n${this.corsLines(headers)}${cacheStatus}${lines(this.limitHeaders(request))}date: ${this.now()}\r\n${this.keepAlive}`;
      send(response, made, status, own, method === 'HEAD');
      const duration = performance.now() - begun;
      httpMetrics.of(method, wire.route, status).observe(duration / 1000);
      const address = request.socket.remoteAddress ?? '';
      this.log.write({ method, url, status, requestId: id, address, duration });
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
    return lines(corsHeaders(origin));
  }

  private limitHeaders(request: IncomingMessage): Record<string, string> {
    if (!this.throttle.isLimited(request)) return {};
    return { 'ratelimit-policy': this.throttle.policy, ratelimit: this.throttle.count(request).header };
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
