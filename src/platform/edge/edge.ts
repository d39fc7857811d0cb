import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Cache } from '../cache/cache.js';
import { type Entry, staleness } from '../cache/entry.js';
import type { Config } from '../config.token.js';
import { Answer } from '../http/answer.js';
import type { Caller } from '../http/caller.js';
import { choose } from '../http/compression.js';
import { linger } from '../http/connections.js';
import { isProbe } from '../http/probe.js';
import { asPublic } from '../http/public-path.js';
import { failWith, requestId } from '../http/request-guard.js';
import { splitUrl } from '../http/split-url.js';
import type { AccessLog } from '../logging/access-log.js';
import { httpMetrics } from '../metrics/http-metrics.js';
import { showInUse } from '../metrics/in-use.js';
import type { Admission } from '../overload/admission.js';
import type { Backlog } from '../overload/backlog.js';
import type { Counted, Throttle } from '../throttle/throttle.js';
import { TransientMap } from '../transient-map.js';
import { AdmittedRequest } from './admitted-request.js';
import type { Callers, EdgeRoute, Read } from './edge-route.js';
import { isOrdinaryRead } from './ordinary-read.js';
import { Priorities } from './priorities.js';
import { refuse } from './refusal.js';
import { RequestHeaders } from './request-headers.js';
import { SerializedResponse, send, type Variant } from './serialized-response.js';

/** The pipeline tries a read again that failed sooner than this: its connection may have been lost. Later, its time is up. */
const AGAIN_MS = 100;

/** A request, when it came (performance.now()), who sent it, and what is left of the sender's rate limit. */
interface Arrival {
  request: IncomingMessage;
  response: ServerResponse;
  begun: number;
  limit: Counted | undefined;
  caller: Caller | undefined;
}

/**
 * Answers hot reads before Fastify: public ones whose bytes are at hand, and reads of its routes for callers who are known
 * already. It makes no decision of its own: a route asks the same guards as the pipeline, the bytes are those that the
 * pipeline would send, and every unusual request goes to the pipeline.
 */
export class Edge {
  private readonly routes: EdgeRoute[] = [];
  /** Targets that are being loaded for several callers at once: one more waits for the same load and needs no admission. */
  private readonly underWay = new TransientMap<string, true>();
  readonly priorities = new Priorities();
  /** Must be set before the first route is added. A caller whom it does not know at once goes through the pipeline. */
  callers!: Callers;
  private readonly headers: RequestHeaders;
  private readonly answersReads: boolean;
  private cache!: Cache;
  private throttle!: Throttle;
  private admission!: Admission;
  private backlog!: Backlog;
  private isClosing = false;

  constructor(
    config: Config,
    private readonly log: AccessLog,
  ) {
    showInUse('edge_loads', () => this.underWay.size);
    this.answersReads = config.EDGE;
    this.headers = new RequestHeaders(config);
  }

  /** Must be called when the app is put together, before the first request. */
  open(cache: Cache, throttle: Throttle, admission: Admission, backlog: Backlog): void {
    this.cache = cache;
    this.throttle = throttle;
    this.headers.policy = throttle.policy;
    this.admission = admission;
    this.backlog = backlog;
  }

  /** From now on every answer, the pipeline's too, says `Connection: close` and ends its connection. */
  close(): void {
    this.isClosing = true;
  }

  /** Routes with more path segments are tried first: single items are read more often than lists. */
  add(route: EdgeRoute): void {
    this.routes.push(route);
    this.routes.sort((a, b) => b.template.split('/').length - a.template.split('/').length);
  }

  /** The listener of the HTTP server: the edge, and behind it the pipeline. */
  before(pipeline: RequestListener): RequestListener {
    return (request, response) => this.handle(request, response, pipeline);
  }

  private handle(request: IncomingMessage, response: ServerResponse, pipeline: RequestListener): void {
    const begun = performance.now();
    if (this.isClosing) response.shouldKeepAlive = false;
    if (this.hasLeftTooMuch(request)) return void this.refuse(request, response);
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    if (isRead && this.answersReads && isOrdinaryRead(request)) {
      const { authorization } = request.headers;
      // Without a route here, the pipeline finds out who is calling, and counts the request.
      const route = authorization === undefined ? undefined : this.find(request.url as string);
      const caller = route && this.callers.known(authorization as string);
      if (authorization === undefined || caller) {
        const limit = this.throttle.countIfLimited(request, caller?.id, begun);
        // Over the limit: the pipeline sees that it was counted, and answers 429.
        if (!limit || limit.wait === 0)
          return void this.read({ request, response, begun, limit, caller }, pipeline, route);
      }
    }
    this.admit(request, response, begun, () => pipeline(request, response));
  }

  private read(arrival: Arrival, pipeline: RequestListener, found?: EdgeRoute): void {
    const { request, response } = arrival;
    const { url = '' } = request;
    const kept = this.cache.peek<Answer>(url, arrival.begun);
    const serialized = kept?.value?.atEdge as SerializedResponse | undefined;
    if (serialized?.isPublic) return void this.answer(arrival, serialized, staleness(kept as Entry, arrival.begun));
    const [path, query] = splitUrl(url);
    const route = found ?? this.find(url);
    if (!route) return void this.admit(request, response, arrival.begun, () => pipeline(request, response));
    const go = (read: Read | undefined) => {
      // The pipeline answers what this caller may not see.
      if (!read || !answerOf(read).isFor(arrival.caller)) return void pipeline(request, response);
      const stale = read instanceof Answer ? undefined : staleness(read);
      this.answer(arrival, this.serialize(read, route), stale);
    };
    const work = () => {
      const loaded = load(route, path, query, arrival.caller, kept);
      if (!(loaded instanceof Promise)) return go(loaded);
      if (route.isShared) this.underWay.set(url, true);
      const end = (read?: Read) => {
        this.underWay.delete(url);
        go(read);
      };
      void loaded.then(end, (error: Error) => {
        if (performance.now() - arrival.begun > AGAIN_MS) failWith(request, error);
        end();
      });
    };
    if (this.underWay.get(url)) work();
    else this.admit(request, response, arrival.begun, work);
  }

  /** The path template of a request's route in the pipeline or here, if there is one. */
  routeOf({ route, method, url = '' }: IncomingMessage): string | undefined {
    return route ?? (method === 'GET' || method === 'HEAD' ? this.find(url)?.template : undefined);
  }

  /** Counts a request whose caller has hung up. */
  private countGone(request: IncomingMessage, begun: number, status?: number): void {
    const series = httpMetrics.of(request.method ?? '', this.routeOf(request), status, false);
    series.observe((performance.now() - begun) / 1000, request);
  }

  private find(url: string): EdgeRoute | undefined {
    const [path] = splitUrl(url);
    return this.routes.find((route) => route.path.test(path));
  }

  private admit(request: IncomingMessage, response: ServerResponse, begun: number, work: () => void): void {
    if (isProbe(request)) return void work();
    const refuse = () => this.refuse(request, response);
    const gone = () => this.countGone(request, begun, response.headersSent ? response.statusCode : undefined);
    new AdmittedRequest(this.admission, this.priorities.of(request), request, response).admit(work, refuse, gone);
  }

  private refuse(request: IncomingMessage, response: ServerResponse): void {
    const id = requestId(request);
    const { method = '', url = '' } = request;
    if (linger(request)) response.shouldKeepAlive = false;
    const limit = this.throttle.countIfLimited(request);
    const own = this.ownOf(request, response, id, limit);
    const path = asPublic(this.headers.publicPath, splitUrl(url)[0]);
    this.leave(request, response, refuse(response, path, id, own, method === 'HEAD'));
    if (response.shouldKeepAlive) this.admission.pauseReading(request);
    httpMetrics.of(method, undefined, 503).observe(0, request);
    this.log.write(request, 503, id, 0);
  }

  /** Whether this address has left too many answers unread. Users are checked once they are known; probes never are. */
  private hasLeftTooMuch(request: IncomingMessage): boolean {
    if (this.backlog.bytes === 0 || request.headers.authorization !== undefined) return false;
    return !isProbe(request) && !this.backlog.isWelcome(this.throttle.addressOf(request));
  }

  /** Hands what the reader has not taken yet to the backlog: it waits there and holds no admission. */
  private leave(request: IncomingMessage, response: ServerResponse, bytes: number, callerId?: string): void {
    if (response.writableLength === 0) return;
    request.place?.answered();
    this.backlog.add(response, bytes, callerId ?? this.throttle.addressOf(request));
  }

  private hasRoom({ request, caller }: Arrival, bytes: number): boolean {
    return this.backlog.hasRoom(request.socket, caller?.id ?? this.throttle.addressOf(request), bytes);
  }

  private answer(arrival: Arrival, serialized: SerializedResponse, stale: string | undefined): void {
    const accepted = arrival.request.headers['accept-encoding'];
    const variant = accepted === undefined ? serialized.identity : serialized.encodedFor(choose(accepted));
    if (variant instanceof Promise) void variant.then((made) => this.send(arrival, serialized, made, stale));
    else this.send(arrival, serialized, variant, stale);
  }

  private send(arrival: Arrival, serialized: SerializedResponse, variant: Variant, stale: string | undefined): void {
    const { request, response, begun, limit, caller } = arrival;
    if (this.backlog.bytes > 0 && !this.hasRoom(arrival, variant.body.length))
      return void this.refuse(request, response);
    const { headers, method = '' } = request;
    const id = requestId(request);
    const isKnown = serialized.isKnown(headers['if-none-match'], variant);
    const own = serialized.isShared ? this.ownOf(request, response) : this.ownOf(request, response, id, limit);
    const all = stale === undefined ? own : `${own}cache-status: ${stale}\r\n`;
    this.leave(request, response, send(response, variant, isKnown, all, method === 'HEAD'), caller?.id);
    const duration = performance.now() - begun;
    if (response.destroyed) this.countGone(request, begun);
    else serialized.observe(request, response.statusCode, duration);
    this.log.write(request, response.statusCode, id, duration, caller?.id);
  }

  private serialize(read: Read, route: EdgeRoute): SerializedResponse {
    const answer = answerOf(read);
    answer.atEdge ??= new SerializedResponse(answer, route, this.headers, (bytes) => {
      if (read !== answer) this.cache.grow(read as Entry, bytes);
    });
    return answer.atEdge as SerializedResponse;
  }

  private ownOf(request: IncomingMessage, response: ServerResponse, id?: string, limit?: Counted): string {
    // The request may have arrived before close().
    if (this.isClosing) response.shouldKeepAlive = false;
    return this.headers.of(request, response.shouldKeepAlive, id, limit?.header);
  }
}

/** @returns undefined when a guard refuses, for the pipeline to answer */
function load(route: EdgeRoute, path: string, query: string, caller: Caller | undefined, kept?: Entry<Answer>) {
  try {
    return route.load(route.path.exec(path) as RegExpExecArray, query, caller, kept);
  } catch {
    return undefined;
  }
}

const answerOf = (read: Read): Answer => (read instanceof Answer ? read : read.value);
