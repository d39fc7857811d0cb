import { createHash } from 'node:crypto';
import {
  applyDecorators,
  type CallHandler,
  type ExecutionContext,
  Inject,
  Injectable,
  type NestInterceptor,
  SetMetadata,
  UseInterceptors,
} from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Observable, tap } from 'rxjs';
import type { Config } from '../../config.js';
import { CONFIG } from '../config.token.js';
import { Redis } from '../redis/redis.js';
import { judge, type Verdict } from './gcra.js';
import { announce, clock, idOf, type Limit, quotaExceeded, Throttle } from './throttle.js';

const LIMITED = Symbol('LIMITED');
type Purpose = 'login' | 'register' | 'refresh';

/** GCRA on all keys or, when one of them has no room, on none. Gives the ms that each has left; below zero, it has no room. */
const TAKE = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local tats, left, fits = {}, {}, true
for i, key in ipairs(KEYS) do
  tats[i] = math.max(tonumber(redis.call('GET', key)) or now, now) + ARGV[2 * i - 1]
  local free = now + ARGV[2 * i] - tats[i]
  left[i] = string.format('%.17g', free)
  fits = fits and free >= 0
end
for i, key in ipairs(fits and KEYS or {}) do
  redis.call('SET', key, string.format('%.17g', tats[i]), 'PX', math.max(1, math.ceil(tats[i] - now)))
end
return left`;

/**
 * Holds a route to an exact limit, before its body is checked or a password hashed: `login` by address with email, so that
 * nobody can lock another one out, and by address, to which a success is given back, so that an office may sign in at nine;
 * `register` and `refresh` by address.
 */
export const Limited = (purpose: Purpose) =>
  applyDecorators(SetMetadata(LIMITED, purpose), UseInterceptors(LimitedInterceptor));

/**
 * Limits that hold over all replicas to the request, in one call to Redis and by Redis' clock. Without Redis each replica
 * admits its part alone, and goes on from what it knows.
 */
@Injectable()
export class LimitedInterceptor implements NestInterceptor {
  constructor(
    private readonly reflector: Reflector,
    private readonly redis: Redis,
    private readonly throttle: Throttle,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  async intercept(context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    const http = context.switchToHttp();
    const purpose = this.reflector.get<Purpose>(LIMITED, context.getHandler());
    const limits = this.limitsOf(purpose, http.getRequest<FastifyRequest>());
    const found = await this.take(limits);
    for (const one of found) announce(http.getResponse<FastifyReply>(), one, one);
    const [worst] = found.filter(({ admitted }) => !admitted).sort((a, b) => b.reset - a.reset);
    if (worst) throw quotaExceeded(worst.name, worst.reset);
    return next.handle().pipe(
      tap(() => {
        if (purpose === 'login') void this.take(limits.slice(1), -1);
      }),
    );
  }

  /** A request may pass if all of its limits have room. */
  private async take<L extends Limit & { key: string }>(limits: L[], count: 1 | -1 = 1): Promise<(L & Verdict)[]> {
    const known = limits.map((limit) => ({ ...limit, gcra: this.throttle.limit(limit) }));
    const local = known.map(({ gcra, key }) => gcra.take(key, clock(), count));
    const send = {
      keys: known.map((limit) => `floodgate:exact:${idOf(limit)}:${limit.key}`),
      arguments: known.flatMap(({ gcra: { interval, window } }) => [String(count * interval), String(window)]),
    };
    const left = await this.redis.attempt((client) => client.eval(TAKE, send) as Promise<string[]>, undefined);
    const exact = left && known.map(({ gcra }, i) => judge(Number(left[i]), gcra.interval));
    return limits.map((limit, i) => ({ ...limit, ...((exact ?? local)[i] as Verdict) }));
  }

  private limitsOf(purpose: Purpose, { raw, body }: FastifyRequest) {
    const { LOGIN_LIMIT, LOGIN_ADDRESS_LIMIT, REGISTER_LIMIT, REFRESH_LIMIT } = this.config;
    const windowMs = this.config.AUTH_LIMIT_WINDOW_S * 1000;
    const key = this.throttle.addressOf(raw);
    if (purpose === 'register') return [{ name: purpose, limit: REGISTER_LIMIT, windowMs, key }];
    if (purpose === 'refresh') return [{ name: purpose, limit: REFRESH_LIMIT, windowMs, key }];
    const email = String((body as { email?: unknown } | undefined)?.email).toLowerCase();
    const hash = createHash('sha256').update(email).digest('base64url');
    return [
      { name: 'login', limit: LOGIN_LIMIT, windowMs, key: `${key}:${hash}` },
      { name: 'login-address', limit: LOGIN_ADDRESS_LIMIT, windowMs, key },
    ];
  }
}
