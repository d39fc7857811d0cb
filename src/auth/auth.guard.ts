import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyRequest } from 'fastify';
import { ACCESS, type Access, badToken, type Caller } from '../platform/http/caller.js';
import { Problem } from '../platform/http/problem.js';
import { resourceId } from '../platform/resource/definition.js';
import { SessionsService } from '../users/sessions.service.js';
import { TokensService } from './tokens.service.js';

const needsToken = () => new Problem('invalid-token', 'Sign in first.', {}, { 'www-authenticate': 'Bearer' });

/** The first guard: identifies the caller and checks access. A bad token is refused even on a route that needs none. */
@Injectable()
export class AuthGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    private readonly tokens: TokensService,
    private readonly sessions: SessionsService,
  ) {}

  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    const [request] = context.getArgs<[FastifyRequest]>();
    const access = this.accessTo(context);
    const { authorization } = request.headers;
    if (authorization !== undefined) {
      const caller = this.identify(authorization);
      if (caller instanceof Promise) return caller.then((one) => this.admit(request, access, one));
      return this.admit(request, access, caller);
    }
    if (access === 'anyone') return true;
    throw needsToken();
  }

  /** Checks a long request again, by its session, since its token may expire meanwhile. */
  async recheck(context: ExecutionContext): Promise<void> {
    const request = context.getArgByIndex<FastifyRequest>(0);
    const { caller } = request;
    if (!caller) return;
    this.admit(request, this.accessTo(context), await this.sessions.callerOf(caller.sessionId));
    // What it reads was chosen by the role that the caller had.
    if (request.method === 'GET' && caller.role === 'admin' && request.caller?.role !== 'admin')
      throw new Problem('forbidden', 'Your role has changed.');
  }

  private accessTo(context: ExecutionContext): Access | undefined {
    return this.reflector.get<Access | undefined>(ACCESS, context.getHandler());
  }

  private admit(request: FastifyRequest, access: Access | undefined, caller: Caller | undefined): boolean {
    if (!caller) throw badToken();
    request.caller = caller;
    if (isFor(access, caller, request.params as { id?: string })) return true;
    const who = access === 'admin' ? 'admins' : 'the user and admins';
    throw new Problem('forbidden', `Only ${who} may do this.`);
  }

  /** @returns whether a caller, signed in or not, may use the handler with these path parameters */
  ruleOf(handler: object): (caller: Caller | undefined, params: { id?: string }) => boolean {
    const access = this.reflector.get<Access | undefined>(ACCESS, handler as () => void);
    return (caller, params) => (caller ? isFor(access, caller, params) : access === 'anyone');
  }

  /** The caller, if token and session are in memory. */
  known(authorization: string): Caller | undefined {
    const caller = this.identify(authorization);
    if (!(caller instanceof Promise)) return caller;
    caller.catch(ignore);
    return undefined;
  }

  /** Answers without a promise when token and session were verified a moment ago. */
  private identify(authorization: string): Caller | undefined | Promise<Caller | undefined> {
    const token = /^Bearer +([A-Za-z0-9._~+/=-]+)$/i.exec(authorization)?.[1];
    const sessionId = token && this.tokens.verify(token);
    const find = (id: string | undefined) => (id ? this.sessions.callerOf(id) : undefined);
    return sessionId instanceof Promise ? sessionId.then(find) : find(sessionId);
  }
}

function isFor(access: Access | undefined, { id: self, role }: Caller, { id = '' }: { id?: string }): boolean {
  if (access === undefined || access === 'anyone' || role === 'admin') return true;
  // A malformed id passes here, since validation then answers everybody alike.
  return access === 'self' && (id.toLowerCase() === self || !resourceId.safeParse(id).success);
}

function ignore(): void {}
