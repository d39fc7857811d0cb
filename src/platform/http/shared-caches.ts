import type { FastifyInstance } from 'fastify';

/** Whether Cache-Control lets a shared cache reuse an answer without revalidation (RFC 9111, 5.2.2). */
export const isShared = (control: string): boolean =>
  /s-maxage=/.test(control) || (/max-age=0*[1-9]/.test(control) && !/private|no-store|no-cache/.test(control));

/** Headers that concern a single caller. */
const OWN = ['x-request-id', 'ratelimit', 'ratelimit-policy'];

/** Removes a caller's own headers from what shared caches may keep. Register it after the hooks that set them. */
export function registerSharedCaches(fastify: FastifyInstance): void {
  fastify.addHook('onSend', ({ method }, reply, _payload, done) => {
    const control = method === 'GET' || method === 'HEAD' ? reply.getHeader('cache-control') : undefined;
    if (typeof control === 'string' && isShared(control)) for (const name of OWN) reply.removeHeader(name);
    done();
  });
}
