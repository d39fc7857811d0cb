import type { IncomingMessage } from 'node:http';
import { Inject, Injectable, Logger } from '@nestjs/common';
import type { ThrottlerStorage } from '@nestjs/throttler';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Counter } from 'prom-client';
import { CONFIG, type Config } from '../config.token.js';
import { isProbe } from '../http/probe.js';
import { Problem } from '../http/problem.js';
import { addressReader, keyOf } from './address.js';
import { type Decision, Gcra } from './gcra.js';

declare module 'fastify' {
  interface FastifyInstance {
    throttle: Throttle | undefined;
  }
}

/** The public keys of tokens are not limited: many verifiers may stand behind one address. */
const KEYS = /^\/\.well-known\/jwks\.json(?:\?|$)/;

/** The name of the general limit, in headers and in @Throttle and @SkipThrottle. */
export const GENERAL = 'default';

const refused = new Counter({
  name: 'ratelimit_refused_total',
  help: 'Requests refused with 429, by the limit that they were over.',
  labelNames: ['policy'],
});
refused.inc({ policy: GENERAL }, 0);

export interface Limit {
  name: string;
  limit: number;
  windowMs: number;
}

/** The result of counting a request: its RateLimit header, and how many seconds it has to wait (0: it may pass). */
export interface Counted {
  header: string;
  wait: number;
}

const COUNTED = Symbol('counted');
type Countable = IncomingMessage & { [COUNTED]?: Counted };

/**
 * This process' limits; settlement.ts shares them with the other replicas. A caller is a user or else an address, and has
 * one quota for all routes but those of `free`.
 */
@Injectable()
export class Throttle implements ThrottlerStorage {
  /** Paths without the general limit: there @Throttle and @SkipThrottle say what holds. Your module adds its own. */
  readonly free: RegExp[] = [];
  /** The value of RateLimit-Policy. */
  readonly policy: string;
  /** The key that a request's address is counted under. */
  readonly addressOf: (raw: IncomingMessage) => string;
  /** By name, limit and window: counts made under other figures mean nothing. */
  readonly limits = new Map<string, Gcra>();
  private divisor = 1;
  private readonly general: Gcra;
  /** Whether the next refusal is explained in the log. */
  private explains: boolean;

  constructor(@Inject(CONFIG) config: Config) {
    const general = { name: GENERAL, limit: config.RATE_LIMIT_REQUESTS, windowMs: config.RATE_LIMIT_WINDOW_S * 1000 };
    this.policy = policyText(general);
    this.explains = config.NODE_ENV === 'development';
    this.general = this.limit(general);
    const read = addressReader(config.TRUST_PROXY);
    this.addressOf = (raw) => keyOf(read(raw));
  }

  /** Whether the general limit holds for a request; asked before it is routed. */
  isLimited(raw: IncomingMessage): boolean {
    const { method, url = '' } = raw;
    if (isProbe(raw) || ((method === 'GET' || method === 'HEAD') && KEYS.test(url))) return false;
    return method === 'OPTIONS' || !this.free.some((path) => path.test(url));
  }

  /**
   * Counts a request, once: later calls give the first result.
   * @param user the caller's id; without it the request counts for its address
   */
  count(raw: Countable, user?: string, now = clock()): Counted {
    if (!raw[COUNTED]) {
      const { admitted, remaining, reset } = this.general.take(user ?? this.anonymous(raw), Math.floor(now));
      raw[COUNTED] = { header: itemText({ name: GENERAL, remaining, reset }), wait: admitted ? 0 : reset };
    }
    return raw[COUNTED];
  }

  /** In development, the first caller over the limit is most often a load test, which wants to know how to get on. */
  explainOnce(): void {
    if (!this.explains) return;
    this.explains = false;
    const how = 'For a load test: RATE_LIMIT_REQUESTS=1000000000 npm start';
    new Logger('Throttle').warn(
      `A caller is over the limit (RATE_LIMIT_REQUESTS, in each RATE_LIMIT_WINDOW_S) and gets 429. ${how}`,
    );
  }

  /** Browsers send OPTIONS without a token: it has a quota of its own, which other requests of the address do not use up. */
  private anonymous(raw: IncomingMessage): string {
    const address = this.addressOf(raw);
    return raw.method === 'OPTIONS' ? `OPTIONS ${address}` : address;
  }

  countIfLimited(raw: Countable, user?: string, now = clock()): Counted | undefined {
    return this.isLimited(raw) ? this.count(raw, user, now) : undefined;
  }

  /** Without Redis each process admits its share on its own. */
  divideBy(replicas: number): void {
    this.divisor = replicas;
    for (const limit of this.limits.values()) limit.divideBy(replicas);
  }

  /** The limit with these figures, made on first use. */
  limit(figures: Limit): Gcra {
    const id = idOf(figures);
    let found = this.limits.get(id);
    if (!found) {
      found = new Gcra(figures.limit, figures.windowMs);
      found.divideBy(this.divisor);
      this.limits.set(id, found);
    }
    return found;
  }

  /** For routes with @Throttle. `blockDuration` has no effect: a refused caller may come again as the quota drains. */
  async increment(key: string, ttl: number, limit: number, _blockDuration: number, name: string) {
    const { admitted, remaining, reset } = this.limit({ name, limit, windowMs: ttl }).take(key, clock());
    return { totalHits: limit - remaining, timeToExpire: reset, isBlocked: !admitted, timeToBlockExpire: reset };
  }
}

/**
 * Counts requests without a token by address, before a body is read. A request with a token is counted by user once the
 * token is verified (throttle.guard.ts), or by address when it is refused (answerProblem).
 */
export function registerThrottle(fastify: FastifyInstance, throttle: Throttle): void {
  fastify.decorate('throttle', throttle);
  fastify.addHook('onRequest', (request, reply, done) => {
    done(request.headers.authorization === undefined ? overLimit(request, reply) : undefined);
  });
}

/**
 * Counts a request, unless the edge has done so, and sets the answer's RateLimit headers, once.
 * @returns the 429 for a request over the limit
 */
export function overLimit({ raw, caller, server }: FastifyRequest, reply: FastifyReply): Problem | undefined {
  const { throttle } = server;
  if (!throttle?.isLimited(raw) || reply.hasHeader('ratelimit')) return undefined;
  const { header, wait } = throttle.count(raw, caller?.id);
  reply.headers({ 'ratelimit-policy': throttle.policy, ratelimit: header });
  if (wait === 0) return undefined;
  throttle.explainOnce();
  return quotaExceeded({ name: GENERAL, reset: wait });
}

/**
 * Adds limits to the answer's RateLimit headers, which are lists.
 * @throws Problem for the exceeded limit with the longest wait
 */
export function enforce(reply: FastifyReply, found: (Limit & Decision)[]): void {
  const add = (header: string, items: string[]) =>
    reply.header(header, [reply.getHeader(header) ?? [], items].flat(2).join(', '));
  add('ratelimit-policy', found.map(policyText));
  add('ratelimit', found.map(itemText));
  const [worst] = found.filter(({ admitted }) => !admitted).sort((a, b) => b.reset - a.reset);
  if (worst) throw quotaExceeded(worst);
}

export const idOf = ({ name, limit, windowMs }: Limit): string => `${name}:${limit}:${windowMs}`;

/** Whole ms of a monotonic clock. */
export const clock = (): number => Math.floor(performance.now());

/** A quota policy item (draft-ietf-httpapi-ratelimit-headers-11, 3.1), whose window is in seconds. */
const policyText = ({ name, limit, windowMs }: Limit) => `"${name}";q=${limit};w=${Math.ceil(windowMs / 1000)}`;

/** A service limit item (the same draft, 4.1): `reset` seconds are how long no more than `remaining` may come. */
const itemText = ({ name, remaining, reset }: Pick<Limit & Decision, 'name' | 'remaining' | 'reset'>) =>
  `"${name}";r=${remaining};t=${reset}`;

/** The 429 of an exceeded limit (the same draft, 5.1): a retry is admitted in `reset` seconds. */
const quotaExceeded = ({ name, reset }: Pick<Limit & Decision, 'name' | 'reset'>): Problem => {
  refused.inc({ policy: name });
  const detail = `Too many requests: try again in ${reset} s.`;
  return new Problem('quota-exceeded', detail, { 'violated-policies': [name] }, { 'retry-after': String(reset) });
};
