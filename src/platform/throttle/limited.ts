import { createHash } from 'node:crypto';
import type { CallHandler, ExecutionContext, NestInterceptor } from '@nestjs/common';
import { applyDecorators, Inject, Injectable, SetMetadata, UseInterceptors } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Observable, tap } from 'rxjs';
import { CONFIG, type Config } from '../config.token.js';
import { judge, type Verdict } from './gcra.js';
import { Settlement } from './settlement.js';
import { clock, enforce, idOf, type Limit, Throttle } from './throttle.js';

const LIMITED = Symbol('LIMITED');
type Purpose = 'login' | 'register' | 'refresh';
type EmailIn = (body: unknown) => string;
type Marked = { purpose: Purpose; emailIn: EmailIn };
type Keyed = Limit & { key: string };

/**
 * Holds a route to an exact limit, before its body is checked or a password hashed: `login` by address with email, so that
 * nobody can lock another one out, and by address, to which a success is given back, so that an office may sign in at nine;
 * `register` and `refresh` by address.
 * @param emailIn what `login` looks a body's email up by: under any other name one user would have several limits
 */
export const Limited = (purpose: Purpose, emailIn: EmailIn = () => '') =>
  applyDecorators(SetMetadata(LIMITED, { purpose, emailIn }), UseInterceptors(LimitedInterceptor));

/**
 * Limits that hold over all replicas to the request, in one call to Redis and by Redis' clock. Without Redis each replica
 * admits its part alone, and goes on from what it knows.
 */
@Injectable()
export class LimitedInterceptor implements NestInterceptor {
  constructor(
    private readonly reflector: Reflector,
    private readonly settlement: Settlement,
    private readonly throttle: Throttle,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  async intercept(context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    const http = context.switchToHttp();
    const marked = this.reflector.get<Marked>(LIMITED, context.getHandler());
    const limits = this.limitsOf(marked, http.getRequest<FastifyRequest>());
    enforce(http.getResponse<FastifyReply>(), await this.take(limits));
    return next.handle().pipe(
      tap(() => {
        if (marked.purpose === 'login') void this.take(limits.slice(1), -1);
      }),
    );
  }

  /** A request may pass if all of its limits have room. */
  private async take(limits: Keyed[], count: 1 | -1 = 1): Promise<(Keyed & Verdict)[]> {
    const known = limits.map((limit) => {
      const gcra = this.throttle.limit(limit);
      const local = { ...limit, ...gcra.take(limit.key, clock(), count) };
      return { gcra, local, key: `exact:${idOf(limit)}:${limit.key}`, ms: count * gcra.interval, most: gcra.window };
    });
    const levels = await this.settlement.add(known);
    return known.map(({ gcra, local, most }, i) =>
      levels ? { ...local, ...judge(most - (levels[i] as number), gcra.interval) } : local,
    );
  }

  private limitsOf({ purpose, emailIn }: Marked, { raw, body }: FastifyRequest): Keyed[] {
    const { LOGIN_LIMIT, LOGIN_ADDRESS_LIMIT, REGISTER_LIMIT, REFRESH_LIMIT } = this.config;
    const windowMs = this.config.AUTH_LIMIT_WINDOW_S * 1000;
    const key = this.throttle.addressOf(raw);
    if (purpose === 'register') return [{ name: purpose, limit: REGISTER_LIMIT, windowMs, key }];
    if (purpose === 'refresh') return [{ name: purpose, limit: REFRESH_LIMIT, windowMs, key }];
    const hash = createHash('sha256').update(emailIn(body)).digest('base64url');
    return [
      { name: 'login', limit: LOGIN_LIMIT, windowMs, key: `${key}:${hash}` },
      { name: 'login-address', limit: LOGIN_ADDRESS_LIMIT, windowMs, key },
    ];
  }
}
