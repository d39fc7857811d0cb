import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Config } from '../../config.js';
import { type Cache, type Entry, staleness } from '../cache/cache.js';
import { Answer } from '../http/answer.js';
import type { Caller } from '../http/caller.js';
import { choose } from '../http/compression.js';
import { corsHeaders, SECURITY } from '../http/headers.js';
import { failWith, requestId } from '../http/request-guard.js';
import { splitUrl } from '../http/split-url.js';
import { type AccessLog, isProbe } from '../logging/access-log.js';
import { httpMetrics, UNKNOWN_ROUTE } from '../metrics/http-metrics.js';
import type { Admission, Priority } from '../overload/admission.js';
import type { Counted, Throttle } from '../throttle/throttle.js';
import { admit, tooMuch } from './gate.js';
import type { Lane, Read } from './lane.js';
import { isPlain } from './plain.js';
import { lines, send, type Variant, Wire } from './wire.js';

/** A read that failed sooner is tried again, by the pipeline: its connection may have gone. Later, its time is up. */
const AGAIN_MS = 100;

/** When a request came (performance.now()), from whom, and what that one has left. */
interface Arrival {
  begun: number;
  limit: Counted | undefined;
  caller: Caller | undefined;
}

/**
 * The front door: before Fastify, it answers reads that anyone may see and whose bytes are at hand, and those that a lane can
 * load for a caller who is known already. It decides nothing itself: a lane asks the same rules as the pipeline does, what is
 * sent is what the pipeline would have sent, and whatever is out of the ordinary goes there.
 */
export class Edge {
  private readonly lanes: Lane[] = [];
  private readonly priorities: [RegExp, Priority][] = [];
  /** Targets of which a shared load is under way: who asks now waits with the others, and costs nothing. */
  private readonly underWay = new Set<string>();
  private readonly origins: Set<string>;
  private connection: string;
  private readonly answersReads: boolean;
  private cache!: Cache;
  private throttle!: Throttle;
  private admission!: Admission;
  private identify: (authorization: string) => Caller | undefined = () => undefined;
  private isClosing = false;
  private second = 0;
  private unlimited = '';
  private limited = '';

  constructor(
    config: Config,
    private readonly log: AccessLog,
  ) {
    this.answersReads = config.EDGE;
    this.origins = new Set(config.CORS_ORIGINS);
    const seconds = Math.floor(config.KEEP_ALIVE_TIMEOUT_MS / 1000);
    this.connection = `connection: keep-alive\r\nkeep-alive: timeout=${seconds}\r\n`;
  }

  /** To be called when the app is put together; before that nothing is let in. */
  open(cache: Cache, throttle: Throttle, admission: Admission): void {
    this.cache = cache;
    this.throttle = throttle;
    this.admission = admission;
  }

  /** From now on each answer, also of the pipeline, is the last on its connection and says so. */
  close(): void {
    this.isClosing = true;
    this.connection = 'connection: close\r\n';
    this.second = 0;
  }

  add(lane: Lane): void {
    this.lanes.push(lane);
  }

  /** Says how to know a caller by the Authorization header at once; who is not known goes through the pipeline. */
  knowCallers(identify: (authorization: string) => Caller | undefined): void {
    this.identify = identify;
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
    if (this.isClosing) response.shouldKeepAlive = false;
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    // Of the last request on a connection, the pipeline says so.
    const isLast = !response.shouldKeepAlive && !this.isClosing;
    if (isRead && this.answersReads && !isLast && isPlain(request)) {
      const { authorization } = request.headers;
      // Where nothing is to be answered here, who is calling is for the pipeline to find out, and to count.
      const isOurs = authorization !== undefined && this.laneOf(request.url as string) !== undefined;
      const caller = isOurs ? this.identify(authorization) : undefined;
      if (authorization === undefined || caller) {
        const isLimited = this.throttle.isLimited(request);
        const limit = isLimited ? this.throttle.count(request, caller?.id, begun) : undefined;
        // The pipeline finds that it was counted, and answers one too many.
        if (!limit || limit.wait === 0) return void this.read(request, response, pipeline, { begun, limit, caller });
      }
    }
    this.admit(request, response, () => pipeline(request, response));
  }

  private read(request: IncomingMessage, response: ServerResponse, pipeline: RequestListener, arrival: Arrival): void {
    const { url = '' } = request;
    const kept = this.cache.peek<Answer>(url, arrival.begun);
    const wire = kept?.value?.atEdge as Wire | undefined;
    if (wire?.isPublic)
      return void this.answer(request, response, wire, staleness(kept as Entry, arrival.begun), arrival);
    const [path, query] = splitUrl(url);
    const lane = this.laneOf(url);
    if (!lane) return void this.admit(request, response, () => pipeline(request, response));
    const go = (read: Read | undefined) => {
      if (!read) return void pipeline(request, response);
      const [answer, stale] = read instanceof Answer ? [read] : [read.value, staleness(read)];
      this.answer(request, response, this.wireOf(answer, lane), stale, arrival);
    };
    const work = () => {
      const match = lane.path.exec(path) as RegExpExecArray;
      const loaded = lane.load(match, query, arrival.caller);
      if (!(loaded instanceof Promise)) return go(loaded);
      if (lane.isShared) this.underWay.add(url);
      const end = (read?: Read) => {
        this.underWay.delete(url);
        go(read);
      };
      void loaded.then(end, (error: Error) => {
        if (performance.now() - arrival.begun > AGAIN_MS) failWith(request, error);
        end();
      });
    };
    if (this.underWay.has(url)) work();
    else this.admit(request, response, work);
  }

  /** The template of a route that is answered here. */
  routeOf(url: string): string | undefined {
    return this.laneOf(url)?.route;
  }

  private laneOf(url: string): Lane | undefined {
    const [path] = splitUrl(url);
    return this.lanes.find((lane) => lane.path.test(path));
  }

  private admit(request: IncomingMessage, response: ServerResponse, work: () => void): void {
    if (isProbe(request.url ?? '')) return void work();
    const refuse = () => this.refuse(request, response);
    admit(this.admission, this.priorityOf(request), request, response, work, refuse);
  }

  private priorityOf({ method, url = '' }: IncomingMessage): Priority {
    const [path] = splitUrl(url);
    for (const [pattern, priority] of this.priorities) if (pattern.test(path)) return priority;
    return method === 'GET' || method === 'HEAD' || method === 'OPTIONS' ? 'read' : 'write';
  }

  /** At once, and without a look at the request: this is what there is time for when there is too much to do. */
  private refuse(request: IncomingMessage, response: ServerResponse): void {
    const id = requestId(request);
    const { method = '', url = '' } = request;
    const problem = tooMuch();
    const body = JSON.stringify(problem.toDocument(splitUrl(url)[0], id));
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
    this.log.write(request, problem.status, id, 0);
  }

  private answer(
    request: IncomingMessage,
    response: ServerResponse,
    wire: Wire,
    stale: string | undefined,
    arrival: Arrival,
  ): void {
    const accepted = request.headers['accept-encoding'];
    const variant = accepted === undefined ? wire.plain : wire.in(choose(accepted));
    if (variant instanceof Promise)
      void variant.then((made) => this.send(request, response, wire, made, stale, arrival));
    else this.send(request, response, wire, variant, stale, arrival);
  }

  private send(
    request: IncomingMessage,
    response: ServerResponse,
    wire: Wire,
    variant: Variant,
    stale: string | undefined,
    { begun, limit, caller }: Arrival,
  ): void {
    const { headers, method = '' } = request;
    const id = requestId(request);
    const isKnown = wire.isKnown(headers['if-none-match'], variant);
    // In as few pieces as there can be: that is what a string costs.
    let own = `${limit ? this.sameForAll(true) + limit.header : this.sameForAll(false)}\r\nx-request-id: ${id}\r\n`;
    if (headers.origin && this.origins.has(headers.origin)) own += lines(corsHeaders(headers.origin));
    if (stale !== undefined) own += `cache-status: ${stale}\r\n`;
    // It may have come before.
    if (this.isClosing) response.shouldKeepAlive = false;
    send(response, variant, isKnown, own, method === 'HEAD');
    const duration = performance.now() - begun;
    wire.observe(method, response.statusCode, duration);
    this.log.write(request, response.statusCode, id, duration, caller?.id);
  }

  private wireOf(answer: Answer, { route }: Lane): Wire {
    answer.atEdge ??= new Wire(answer, route, this.origins.size > 0 ? 'Origin' : '');
    return answer.atEdge as Wire;
  }

  private limitHeaders(request: IncomingMessage): Record<string, string> {
    if (!this.throttle.isLimited(request)) return {};
    return { 'ratelimit-policy': this.throttle.policy, ratelimit: this.throttle.count(request).header };
  }

  /** Headers that change no more often than the time of day, which HTTP has in seconds, up to a value or a line's end. */
  private sameForAll(isLimited: boolean): string {
    const second = Math.floor(Date.now() / 1000);
    if (second !== this.second) {
      this.second = second;
      this.unlimited = `${this.connection}date: ${new Date(second * 1000).toUTCString()}`;
      this.limited = `${this.unlimited}\r\nratelimit-policy: ${this.throttle.policy}\r\nratelimit: `;
    }
    return isLimited ? this.limited : this.unlimited;
  }
}
