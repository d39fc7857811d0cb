import type { FastifyInstance } from 'fastify';
import { overLimit } from '../throttle/throttle.js';
import { addVary } from './compression.js';

const NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** The headers that helmet sets, as constants, since none depends on the request. */
export const SECURITY = {
  'content-security-policy': NOTHING,
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'origin-agent-cluster': '?1',
  'referrer-policy': 'no-referrer',
  'strict-transport-security': 'max-age=31536000; includeSubDomains',
  'x-content-type-options': 'nosniff',
  'x-dns-prefetch-control': 'off',
  'x-download-options': 'noopen',
  'x-frame-options': 'DENY',
  'x-permitted-cross-domain-policies': 'none',
  'x-xss-protection': '0',
};

export function lines(headers: Record<string, string>): string {
  let text = '';
  for (const name in headers) text += `${name}: ${headers[name]}\r\n`;
  return text;
}

/** The documentation page may use its own scripts, styles and images, and call the API. */
const PAGE = `${NOTHING}; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'`;

/** Response headers that a page of another origin may read, in addition to the CORS-safelisted ones. */
const EXPOSED =
  'ETag, Link, Location, Retry-After, RateLimit, RateLimit-Policy, Idempotency-Replayed, X-Request-Id, Allow, Cache-Status';

/** What such a page may send, and how many seconds its browser may keep the preflight's result. */
const PREFLIGHT = {
  'access-control-allow-methods': 'GET, HEAD, POST, PUT, PATCH, DELETE',
  'access-control-allow-headers':
    'Authorization, Content-Type, If-Match, If-None-Match, Idempotency-Key, Last-Event-ID, X-Request-Id',
  'access-control-max-age': '600',
};

export const corsHeaders = (origin: string) => ({
  'access-control-allow-origin': origin,
  'access-control-expose-headers': EXPOSED,
});

/** Sets the request id on every answer, the documentation's own policy, and CORS for the configured origins. */
export function registerHeaders(fastify: FastifyInstance, origins: string[]): void {
  fastify.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id);
    if (/^\/docs(?:[/?]|$)/.test(request.url)) reply.header('content-security-policy', PAGE);
    done();
  });
  if (origins.length > 0) registerCors(fastify, new Set(origins));
}

/** Credentials are not allowed, since tokens are sent in a header and never in a cookie. */
function registerCors(fastify: FastifyInstance, origins: Set<string>): void {
  fastify.addHook('onRequest', (request, reply, done) => {
    addVary(reply, 'Origin');
    const { origin, 'access-control-request-method': asked } = request.headers;
    const isAllowed = origin !== undefined && origins.has(origin);
    if (isAllowed) reply.headers(corsHeaders(origin));
    if (isAllowed && request.method === 'OPTIONS' && asked !== undefined) {
      const problem = overLimit(request, reply);
      if (problem) return done(problem);
      reply.removeHeader('access-control-expose-headers').code(204).headers(PREFLIGHT).send();
      return;
    }
    done();
  });
}
