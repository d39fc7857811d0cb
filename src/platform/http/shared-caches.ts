import type { FastifyInstance } from 'fastify';

/** Whether a cache may give an answer to many callers without asking, by its Cache-Control (RFC 9111, 5.2.2). */
export const isShared = (control: string): boolean =>
  /s-maxage=/.test(control) || (/max-age=0*[1-9]/.test(control) && !/private|no-store|no-cache/.test(control));

/** What is one caller's. */
const OWN = ['x-request-id', 'ratelimit', 'ratelimit-policy'];

/** Leaves out of what shared caches may keep what is one caller's. To be registered behind all that sets it. */
export function registerSharedCaches(fastify: FastifyInstance): void {
  fastify.addHook('onSend', ({ method }, reply, _payload, done) => {
    const control = method === 'GET' || method === 'HEAD' ? reply.getHeader('cache-control') : undefined;
    if (typeof control === 'string' && isShared(control)) for (const name of OWN) reply.removeHeader(name);
    done();
  });
}
