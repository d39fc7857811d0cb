import { applyDecorators, createParamDecorator, type ExecutionContext, SetMetadata } from '@nestjs/common';
import { ApiExtension } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { Problem } from './problem.js';

export type Role = 'user' | 'admin';

/** Who sends a request, as proven by an access token. */
export interface Caller {
  id: string;
  role: Role;
  sessionId: string;
}

/** What depends on a user is kept with this name, and ends when the user changes or goes. */
export const userTag = (id: string): string => `user:${id.toLowerCase()}`;

declare module 'fastify' {
  interface FastifyRequest {
    caller: Caller | undefined;
  }
}

export const ACCESS = Symbol('ACCESS');

/** Who may call a route: anyone, with or without a token; the user in its path and admins; admins alone. Without a mark: who is signed in. */
export type Access = 'anyone' | 'self' | 'admin';

/** Marks, for the document only, what needs no token. */
export const ANYONE_EXTENSION = 'x-anyone';

export const Anyone = () =>
  applyDecorators(SetMetadata(ACCESS, 'anyone' satisfies Access), ApiExtension(ANYONE_EXTENSION, true));
/** For the user whose id is in the path, and admins: the same refusal for one that is there and one that is not. */
export const SelfOrAdmin = () => SetMetadata(ACCESS, 'self' satisfies Access);
export const AdminOnly = () => SetMetadata(ACCESS, 'admin' satisfies Access);

/** The caller; undefined only on a route for anyone. */
export const CurrentCaller = createParamDecorator(
  (_: unknown, context: ExecutionContext) => context.switchToHttp().getRequest<FastifyRequest>().caller,
);

const BAD_TOKEN = { 'www-authenticate': 'Bearer error="invalid_token"' };

/** For a token that is not good, or whose user has gone since it was found to be. */
export const badToken = () =>
  new Problem('invalid-token', 'The access token is not valid, or no longer.', {}, BAD_TOKEN);
