import { createHash } from 'node:crypto';
import type { CallHandler, ExecutionContext, NestInterceptor, Type } from '@nestjs/common';
import { applyDecorators, Inject, Injectable, SetMetadata, UseInterceptors } from '@nestjs/common';
import { ModuleRef, Reflector } from '@nestjs/core';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Observable, tap } from 'rxjs';
import { CONFIG, type Config } from '../config.token.js';
import { judge, type Verdict } from './gcra.js';
import { Settlement } from './settlement.js';
import { clock, enforce, idOf, type Limit, Throttle } from './throttle.js';

const LIMITED = Symbol('LIMITED');
type Purpose = 'login' | 'register' | 'refresh';
/** Knows whose a request is by a body that proves it: what others at the address ask for is not held against that one. */
export interface Owners {
  /** @param body as it came, unchecked */
  ownerOf(body: unknown): Promise<string | undefined>;
}
interface Whose {
  /** What `login` looks a body's email up by: under any other name one user would have several limits. */
  emailIn?: (body: unknown) => string;
  /** The service that knows owners, if the route has any. */
  owners?: Type<Owners>;
}
type Limiting = Whose & { purpose: Purpose };
type Keyed = Limit & { key: string };

/**
 * Holds a route to an exact limit, before its body is checked or a password hashed: `login` by address with email, so that
 * nobody can lock another one out, and by address, to which a success is given back, so that an office may sign in at nine;
 * `register` and `refresh` by owner, or else by address.
 */
export const Limited = (purpose: Purpose, whose: Whose = {}) =>
  applyDecorators(SetMetadata(LIMITED, { purpose, ...whose }), UseInterceptors(LimitedInterceptor));

/**
 * Limits that hold over all replicas to the request, in one call to Redis and by Redis' clock. Without Redis each replica
 * admits its part alone, and goes on from what it knows.
 */
@Injectable()
export class LimitedInterceptor implements NestInterceptor {
  constructor(
    private readonly reflector: Reflector,
    private readonly modules: ModuleRef,
    private readonly settlement: Settlement,
    private readonly throttle: Throttle,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  async intercept(context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    const http = context.switchToHttp();
    const limiting = this.reflector.get<Limiting>(LIMITED, context.getHandler());
    const request = http.getRequest<FastifyRequest>();
    const { owners } = limiting;
    const owner = owners && (await this.modules.get(owners, { strict: false }).ownerOf(request.body));
    const limits = this.limitsOf(limiting, request, owner);
    enforce(http.getResponse<FastifyReply>(), await this.take(limits));
    return next.handle().pipe(
      tap(() => {
        if (limiting.purpose === 'login') void this.take(limits.slice(1), -1);
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

  private limitsOf({ purpose, emailIn }: Limiting, { raw, body }: FastifyRequest, owner: string | undefined): Keyed[] {
    const { LOGIN_LIMIT, LOGIN_ADDRESS_LIMIT, REGISTER_LIMIT, REFRESH_LIMIT } = this.config;
    const windowMs = this.config.AUTH_LIMIT_WINDOW_S * 1000;
    const key = owner ?? this.throttle.addressOf(raw);
    if (purpose === 'register') return [{ name: purpose, limit: REGISTER_LIMIT, windowMs, key }];
    if (purpose === 'refresh') return [{ name: purpose, limit: REFRESH_LIMIT, windowMs, key }];
    const hash = createHash('sha256').update(emailIn?.(body) ?? '').digest('base64url');
    return [
      { name: 'login', limit: LOGIN_LIMIT, windowMs, key: `${key}:${hash}` },
      { name: 'login-address', limit: LOGIN_ADDRESS_LIMIT, windowMs, key },
    ];
  }
}
