import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyRequest } from 'fastify';
import { ACCESS, type Access, badToken, type Caller } from '../platform/http/caller.js';
import { Problem } from '../platform/http/problem.js';
import { SessionsService } from '../users/sessions.service.js';
import { userId } from '../users/user.schema.js';
import { TokensService } from './tokens.service.js';

const needsToken = () => new Problem('invalid-token', 'Sign in first.', {}, { 'www-authenticate': 'Bearer' });

/** Finds out who calls, before anything else does, and turns away who may not. A bad token is refused even where none is needed. */
@Injectable()
export class AuthGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    private readonly tokens: TokensService,
    private readonly sessions: SessionsService,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const access = this.reflector.get<Access | undefined>(ACCESS, context.getHandler());
    const { authorization } = request.headers;
    if (authorization === undefined) {
      if (access === 'anyone') return true;
      throw needsToken();
    }
    request.caller = await this.identify(authorization);
    if (access === undefined || request.caller.role === 'admin') return true;
    if (access === 'admin') throw new Problem('forbidden', 'That is for admins.');
    const { id = '' } = request.params as { id?: string };
    // What is no id at all is refused as such, to everybody alike, when the parameters are checked.
    const isSelf = id.toLowerCase() === request.caller.id || !userId.safeParse(id).success;
    if (access === 'self' && !isSelf) throw new Problem('forbidden', 'That is for the user and for admins.');
    return true;
  }

  private async identify(authorization: string): Promise<Caller> {
    const token = /^Bearer +([A-Za-z0-9._~+/=-]+)$/i.exec(authorization)?.[1];
    const sessionId = token && (await this.tokens.verify(token));
    const caller = sessionId ? await this.sessions.callerOf(sessionId) : undefined;
    if (!caller) throw badToken();
    return caller;
  }
}
