import type { IncomingMessage } from 'node:http';
import { Inject, Injectable } from '@nestjs/common';
import type { ThrottlerStorage } from '@nestjs/throttler';
import type { Config } from '../../config.js';
import { CONFIG } from '../config.token.js';
import { Problem } from '../http/problem.js';
import { addressReader } from './address.js';
import { Gcra } from './gcra.js';

/** The name of the general limit, in headers and in @Throttle and @SkipThrottle. */
export const GENERAL = 'default';

/** A replica tells the others of a caller who has used so much of a limit since it last did. */
const SETTLED_SHARE = 1 / 20;

/** What was found when a request was counted: its RateLimit header, and the seconds that it came too early. */
export interface Counted {
  header: string;
  wait: number;
}

const COUNTED = Symbol('counted');
type Countable = IncomingMessage & { [COUNTED]?: Counted };

/**
 * This process' limits (settlement.ts shares them with the other replicas). A caller is a user or else an address, and
 * has one quota for all routes; routes with a @Throttle of their own have one each.
 */
@Injectable()
export class Throttle implements ThrottlerStorage {
  /** As RateLimit-Policy. */
  readonly policy: string;
  /** The address that a request counts for. */
  readonly addressOf: (raw: IncomingMessage) => string;
  /** By name, limit and window. */
  readonly limits = new Map<string, Gcra>();
  /** How many processes shared the limits when Redis was last heard of. */
  replicas = 1;
  /** The paths that the general limit leaves alone. */
  unlimited = /^$/;
  private divisor = 1;
  private readonly general: Gcra;
  private readonly share: number;

  constructor(@Inject(CONFIG) config: Config) {
    const general = { name: GENERAL, limit: config.RATE_LIMIT_REQUESTS, windowMs: config.RATE_LIMIT_WINDOW_S * 1000 };
    this.share = config.REDIS_URL ? SETTLED_SHARE : Number.POSITIVE_INFINITY;
    this.policy = policyText(GENERAL, general.limit, general.windowMs);
    this.general = this.limit(general);
    this.addressOf = addressReader(config.TRUST_PROXY);
  }

  /** Whether a request falls under the general limit before it is known where it leads. */
  isLimited({ method, url = '' }: IncomingMessage): boolean {
    return method !== 'OPTIONS' && !this.unlimited.test(url);
  }

  /**
   * Counts a request, once: whoever meets it later finds what was found.
   * @param user who sends it; without one, its address does
   */
  count(raw: Countable, user?: string, now = clock()): Counted {
    raw[COUNTED] ??= this.judge(user ?? this.addressOf(raw), now);
    return raw[COUNTED];
  }

  /** With Redis gone, each process admits its part alone. */
  divideBy(replicas: number): void {
    this.divisor = replicas;
    for (const limit of this.limits.values()) limit.divideBy(replicas);
  }

  /** A limit by its figures, made when first asked for. */
  limit(figures: Figures): Gcra {
    const { limit, windowMs } = figures;
    const id = idOf(figures);
    let found = this.limits.get(id);
    if (!found) {
      found = new Gcra(limit, windowMs, Math.max(1, limit * this.share));
      found.divideBy(this.divisor);
      this.limits.set(id, found);
    }
    return found;
  }

  private judge(key: string, now: number): Counted {
    const { admitted, remaining, reset } = this.general.take(key, Math.floor(now));
    return { header: itemText(GENERAL, remaining, reset), wait: admitted ? 0 : reset };
  }

  /** For routes with a @Throttle of their own. Who is refused is free again as the quota drains: `blockDuration` has no say. */
  async increment(key: string, ttl: number, limit: number, _blockDuration: number, name: string) {
    const { admitted, remaining, reset } = this.limit({ name, limit, windowMs: ttl }).take(key, clock());
    return { totalHits: limit - remaining, timeToExpire: reset, isBlocked: !admitted, timeToBlockExpire: reset };
  }
}

export interface Figures {
  name: string;
  limit: number;
  windowMs: number;
}

/** Another limit after its figures have changed: what was counted in the old ones means nothing in the new. */
export const idOf = ({ name, limit, windowMs }: Figures): string => `${name}:${limit}:${windowMs}`;

/** Whole ms, of a clock that does not go back. */
export const clock = (): number => Math.floor(performance.now());

/** A quota policy item (draft-ietf-httpapi-ratelimit-headers-11, 3.1), whose window is in seconds. */
export const policyText = (name: string, limit: number, windowMs: number): string =>
  `"${name}";q=${limit};w=${Math.ceil(windowMs / 1000)}`;

/** A service limit item (the same draft, 4.1): `reset` seconds are how long no more than `remaining` may come. */
export const itemText = (name: string, remaining: number, reset: number): string =>
  `"${name}";r=${remaining};t=${reset}`;

/** 429 for who is over a limit (the same draft, 5.1). @param seconds when a retry is admitted */
export const quotaExceeded = (name: string, seconds: number): Problem =>
  new Problem(
    'quota-exceeded',
    `Too many requests: try again in ${seconds} s.`,
    { 'violated-policies': [name] },
    { 'retry-after': String(seconds) },
  );
