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
    done(request.headers.authorization === undefined ? overLimit(request, reply) : undefined);
  });
}

/**
 * Says in the answer what is left, once, of the limit that the request falls under. The edge may have counted it.
 * @returns what to answer to one too many
 */
export function overLimit({ raw, caller, server }: FastifyRequest, reply: FastifyReply): Problem | undefined {
  const { throttle } = server;
  if (!throttle?.isLimited(raw) || reply.hasHeader('ratelimit')) return undefined;
  const { header, wait } = throttle.count(raw, caller?.id);
  announce(reply, throttle.policy, header);
  return wait > 0 ? quotaExceeded(GENERAL, wait) : undefined;
}

/** Adds a limit to the answer's headers, which are lists. */
export function announce(reply: FastifyReply, policy: string, limit: string): void {
  const before = reply.getHeader('ratelimit');
  reply.header('ratelimit-policy', before ? `${reply.getHeader('ratelimit-policy')}, ${policy}` : policy);
  reply.header('ratelimit', before ? `${before}, ${limit}` : limit);
}
