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
import { ExactLimits, type Limit } from './exact.js';
import { announce } from './hooks.js';
import { itemText, policyText, quotaExceeded, Throttle } from './throttle.js';

const LIMITED = Symbol('LIMITED');
type Purpose = 'login' | 'register' | 'refresh';

/**
 * Holds a route to an exact limit, before its body is checked or a password hashed: `login` by address with email, so that
 * nobody can lock another one out, and by address, to which a success is given back, so that an office may sign in at nine;
 * `register` and `refresh` by address.
 */
export const Limited = (purpose: Purpose) =>
  applyDecorators(SetMetadata(LIMITED, purpose), UseInterceptors(LimitedInterceptor));

@Injectable()
export class LimitedInterceptor implements NestInterceptor {
  constructor(
    private readonly reflector: Reflector,
    private readonly exact: ExactLimits,
    private readonly throttle: Throttle,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  async intercept(context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    const http = context.switchToHttp();
    const purpose = this.reflector.get<Purpose>(LIMITED, context.getHandler());
    const limits = this.limitsOf(purpose, http.getRequest<FastifyRequest>());
    const verdicts = await this.exact.take(limits);
    const said = verdicts.map((verdict, i) => ({ ...verdict, ...(limits[i] as Limit) }));
    for (const { name, limit, windowMs, remaining, reset } of said)
      announce(http.getResponse<FastifyReply>(), policyText(name, limit, windowMs), itemText(name, remaining, reset));
    const [worst] = said.filter(({ admitted }) => !admitted).sort((a, b) => b.reset - a.reset);
    if (worst) throw quotaExceeded(worst.name, worst.reset);
    return next.handle().pipe(
      tap(() => {
        if (purpose === 'login') void this.exact.giveBack(limits[1] as Limit);
      }),
    );
  }

  private limitsOf(purpose: Purpose, { raw, body }: FastifyRequest): Limit[] {
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
