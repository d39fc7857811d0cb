import type { CallHandler, ExecutionContext, NestInterceptor, Type } from '@nestjs/common';
import { applyDecorators, Injectable, SetMetadata, UseInterceptors } from '@nestjs/common';
import { ModuleRef, Reflector } from '@nestjs/core';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Observable, tap } from 'rxjs';
import { type ExactLimit, ExactLimits } from './exact-limits.js';

const LIMITED = Symbol('LIMITED');
type Purpose = 'login' | 'register' | 'refresh';

/** Finds the owner of a refresh token in a body, so that others at the same address do not use up the owner's limit. */
export interface Owners {
  /** @param body as it was sent, not validated */
  ownerOf(body: unknown): Promise<string | undefined>;
}

interface Whose {
  /** Finds the email as the login looks it up: with another spelling, one user would have several limits. */
  emailIn?: (body: unknown) => string;
  /** The service that finds a token's owner, if the route takes a token. */
  owners?: Type<Owners>;
}
type Limiting = Whose & { purpose: Purpose };

/** Applies the exact limits of a route before its body is validated or a password hashed. */
export const Limited = (purpose: Purpose, whose: Whose = {}) =>
  applyDecorators(SetMetadata(LIMITED, { purpose, ...whose }), UseInterceptors(LimitedInterceptor));

@Injectable()
export class LimitedInterceptor implements NestInterceptor {
  constructor(
    private readonly reflector: Reflector,
    private readonly modules: ModuleRef,
    private readonly limits: ExactLimits,
  ) {}

  async intercept(context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    const http = context.switchToHttp();
    const limiting = this.reflector.get<Limiting>(LIMITED, context.getHandler());
    const limits = await this.limitsOf(limiting, http.getRequest<FastifyRequest>());
    await this.limits.count(limits, http.getResponse<FastifyReply>());
    return next.handle().pipe(tap(() => this.limits.succeed(limits)));
  }

  private async limitsOf({ purpose, emailIn, owners }: Limiting, { raw, body }: FastifyRequest): Promise<ExactLimit[]> {
    if (purpose === 'register') return this.limits.ofRegistering(raw);
    if (purpose === 'login') return this.limits.ofSignIn(raw, emailIn?.(body) ?? '');
    return this.limits.ofRefreshing(raw, owners && (await this.modules.get(owners, { strict: false }).ownerOf(body)));
  }
}
