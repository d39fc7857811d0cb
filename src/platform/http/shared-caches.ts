import type { FastifyInstance } from 'fastify';
import type { Config } from '../config.token.js';

/** What shared caches may use without asking, for a time of their own or that of all caches (RFC 9111, 5.2.2; RFC 5861). */
const LASTING = /(?:s-maxage|stale-while-revalidate)=0*[1-9]|^(?!.*s-maxage=).*max-age=0*[1-9]/;

/**
 * Whether a shared cache may reuse an answer without revalidation.
 * @param controls its Cache-Control, and its CDN-Cache-Control (RFC 9213), which some go by instead
 */
export const isShared = (...controls: unknown[]): boolean =>
  controls.some((one) => typeof one === 'string' && !/private|no-store|no-cache/.test(one) && LASTING.test(one));

/**
 * An answer's caching headers. Of shared caches, those that know CDN-Cache-Control go by it alone.
 * @param isPublic whether anybody may have it
 * @param config says for how long a public one may be reused; left out where it must be revalidated
 */
export function caching(isPublic: boolean, config?: Config): Record<string, string> {
  if (!isPublic || !config) return { 'cache-control': isPublic ? 'no-cache' : 'private, no-cache' };
  const { PUBLIC_MAX_AGE_S: age, PUBLIC_SHARED_MAX_AGE_S: shared, PUBLIC_SHARED_STALE_S: staleS } = config;
  const stale = staleS > 0 ? `, stale-while-revalidate=${staleS}` : '';
  const own = (shared === undefined ? '' : `, s-maxage=${shared}`) + stale;
  const control = { 'cache-control': `public, max-age=${age}${own}, must-revalidate` };
  if (own === '') return control;
  // To the letter, s-maxage and must-revalidate forbid what stale-while-revalidate allows: here it stands without them.
  return { ...control, 'cdn-cache-control': `public, max-age=${shared ?? age}${stale || ', must-revalidate'}` };
}

/** Headers that concern a single caller. */
const OWN = 'ratelimit ratelimit-policy retry-after server-timing set-cookie traceparent x-request-id'.split(' ');

/** An answer's headers without those that concern a single caller. */
export const forAll = (headers: Record<string, string>): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => !OWN.includes(name.toLowerCase())));

/** Removes a caller's own headers from what shared caches may keep. Register it after the hooks that set them. */
export function registerSharedCaches(fastify: FastifyInstance): void {
  fastify.addHook('onSend', ({ method }, reply, _payload, done) => {
    const isRead = method === 'GET' || method === 'HEAD';
    if (isRead && isShared(reply.getHeader('cache-control'), reply.getHeader('cdn-cache-control')))
      for (const name of OWN) reply.removeHeader(name);
    done();
  });
}
