import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Inject, Injectable } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { CONFIG, type Config } from '../config.token.js';
import { type Decision, decide } from './gcra.js';
import { Settlement } from './settlement.js';
import { clock, enforce, idOf, type Limit, Throttle } from './throttle.js';

/** A limit for one key, and whether only failures count in it. */
export type ExactLimit = Limit & { key: string; isOfFailures?: true };

/**
 * Limits that hold exactly over all replicas, by one call to Redis and Redis' own clock. Without Redis each replica
 * admits its share on its own, and goes on from what it knows.
 */
@Injectable()
export class ExactLimits {
  private readonly windowMs: number;

  constructor(
    private readonly settlement: Settlement,
    private readonly throttle: Throttle,
    @Inject(CONFIG) private readonly config: Config,
  ) {
    this.windowMs = config.AUTH_LIMIT_WINDOW_S * 1000;
  }

  ofRegistering(raw: IncomingMessage): ExactLimit[] {
    return [this.limit('register', this.config.REGISTER_LIMIT, this.throttle.addressOf(raw))];
  }

  /** By the token's owner if known, else by address. */
  ofRefreshing(raw: IncomingMessage, owner: string | undefined): ExactLimit[] {
    return [this.limit('refresh', this.config.REFRESH_LIMIT, owner ?? this.throttle.addressOf(raw))];
  }

  /**
   * By address and email together, so that nobody can lock out somebody else, and by address alone. The latter counts
   * failures only, so that a whole office behind one address can sign in at nine.
   * @param email in its canonical form
   */
  ofSignIn(raw: IncomingMessage, email: string): ExactLimit[] {
    const { LOGIN_LIMIT, LOGIN_ADDRESS_LIMIT } = this.config;
    const address = this.throttle.addressOf(raw);
    return [
      this.limit('login', LOGIN_LIMIT, `${address}:${keyOfEmail(email)}`),
      { ...this.limit('login-address', LOGIN_ADDRESS_LIMIT, address), isOfFailures: true },
    ];
  }

  /** When a signed-in user gives the current password: as at sign-in, and by user, since a stolen token can be used from many addresses. */
  ofCurrentPassword(raw: IncomingMessage, user: { id: string; canonicalEmail: string }): ExactLimit[] {
    return [
      ...this.ofSignIn(raw, user.canonicalEmail),
      this.limit('current-password', this.config.LOGIN_LIMIT, user.id),
    ];
  }

  /**
   * Counts a request in all of its limits, or in none when one of them has no room. Sets the answer's RateLimit headers.
   * @throws Problem quota-exceeded
   */
  async count(limits: ExactLimit[], reply: FastifyReply): Promise<void> {
    enforce(reply, await this.take(limits));
  }

  /** Takes back what was counted in limits that count failures only. */
  succeed(limits: ExactLimit[]): void {
    const ofFailures = limits.filter(({ isOfFailures }) => isOfFailures);
    if (ofFailures.length > 0) void this.take(ofFailures, -1);
  }

  private limit(name: string, limit: number, key: string): ExactLimit {
    return { name, limit, windowMs: this.windowMs, key };
  }

  private async take(limits: ExactLimit[], count: 1 | -1 = 1): Promise<(ExactLimit & Decision)[]> {
    const now = clock();
    const known = limits.map((limit) => {
      const gcra = this.throttle.limit(limit);
      const local = { ...limit, ...gcra.take(limit.key, now, count) };
      return { gcra, local, key: `exact:${idOf(limit)}:${limit.key}`, ms: count * gcra.interval, most: gcra.window };
    });
    // As in Redis, a request that is over one limit uses up none of the others.
    if (!known.every(({ local }) => local.admitted))
      for (const { gcra, local } of known) if (local.admitted) gcra.take(local.key, now, -1);
    const levels = await this.settlement.add(known);
    return known.map(({ gcra, local, most }, i) =>
      levels ? { ...local, ...decide(most - (levels[i] as number), gcra.interval) } : local,
    );
  }
}

/** Hashed, so that a long email makes no long key. */
const keyOfEmail = (email: string) => createHash('sha256').update(email).digest('base64url');
