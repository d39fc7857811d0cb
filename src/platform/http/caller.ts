import { applyDecorators, createParamDecorator, type ExecutionContext, SetMetadata } from '@nestjs/common';
import { ApiExtension } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { Problem } from './problem.js';

export type Role = 'user' | 'admin';

/** The user that a request's access token belongs to. */
export interface Caller {
  id: string;
  role: Role;
  sessionId: string;
}

/** The cache tag of entries that depend on a user; they are dropped when the user is changed or deleted. */
export const userTag = (id: string): string => `user:${id.toLowerCase()}`;

declare module 'fastify' {
  interface FastifyRequest {
    caller: Caller | undefined;
  }
}

export const ACCESS = Symbol('ACCESS');

/** Who may call a route: anyone; the user in its path and admins; or admins. By default, every signed-in user may. */
export type Access = 'anyone' | 'self' | 'admin';

/** Marks, for the OpenAPI document only, a route that needs no token: it is 'optional' where it shows more, else 'unused'. */
export const ANYONE_EXTENSION = 'x-anyone';

const forAnyone = (token: 'optional' | 'unused') =>
  applyDecorators(SetMetadata(ACCESS, 'anyone' satisfies Access), ApiExtension(ANYONE_EXTENSION, token));

/** For anyone; a token is optional, and shows what is not public. */
export const Anyone = () => forAnyone('optional');
/** For anyone; it makes no difference who calls. */
export const Anonymous = () => forAnyone('unused');
/** For the user whose id is in the path, and admins. Other callers cannot tell whether that user exists. */
export const SelfOrAdmin = () => SetMetadata(ACCESS, 'self' satisfies Access);
export const AdminOnly = () => SetMetadata(ACCESS, 'admin' satisfies Access);

/** The caller; undefined only on a route with @Anyone. */
export const CurrentCaller = createParamDecorator(
  (_: unknown, context: ExecutionContext) => context.switchToHttp().getRequest<FastifyRequest>().caller,
);

const BAD_TOKEN = { 'www-authenticate': 'Bearer error="invalid_token"' };

/** For an invalid token, or one whose user was deleted after it was verified. */
export const badToken = () =>
  new Problem('invalid-token', 'The access token is invalid, expired or revoked.', {}, BAD_TOKEN);
