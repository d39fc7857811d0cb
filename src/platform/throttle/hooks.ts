import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Problem } from '../http/problem.js';
import { GENERAL, quotaExceeded, type Throttle } from './throttle.js';

declare module 'fastify' {
  interface FastifyInstance {
    throttle: Throttle | undefined;
  }
}

/**
 * Counts who comes without a token by address, before a body is read. Who brings one is counted by user once the token
 * was found good (throttle.guard.ts), or else by address when the request is refused (answerProblem).
 */
export function registerThrottle(fastify: FastifyInstance, throttle: Throttle): void {
  fastify.decorate('throttle', throttle);
  fastify.addHook('onRequest', (request, reply, done) => {
    const counted = throttle.counted(request.raw);
    if (counted !== undefined) announce(reply, throttle.policy, counted);
    done(request.headers.authorization === undefined ? overLimit(request, reply) : undefined);
  });
}

/** Counts a request, unless it was counted, and says in its answer what is left. @returns what to answer to one too many */
export function overLimit(request: FastifyRequest, reply: FastifyReply): Problem | undefined {
  const { raw, caller } = request;
  const { throttle } = request.server;
  if (!throttle?.isLimited(raw) || throttle.counted(raw) !== undefined) return undefined;
  const { admitted, reset } = throttle.count(raw, caller?.id);
  announce(reply, throttle.policy, throttle.counted(raw) as string);
  return admitted ? undefined : quotaExceeded(GENERAL, reset);
}

/** Adds a limit to the answer's headers, which are lists. */
export function announce(reply: FastifyReply, policy: string, limit: string): void {
  const before = reply.getHeader('ratelimit');
  reply.header('ratelimit-policy', before ? `${reply.getHeader('ratelimit-policy')}, ${policy}` : policy);
  reply.header('ratelimit', before ? `${before}, ${limit}` : limit);
}
