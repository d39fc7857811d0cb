import cors from '@fastify/cors';
import type { FastifyInstance } from 'fastify';

/**
 * What helmet sets, as constants: there is nothing to decide per request. The content security policy lets the
 * page at /docs use its own scripts and styles, and nothing else anything.
 */
export const SECURITY = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
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

/** What a page of another origin may read beside the few headers that any may. */
const EXPOSED = ['ETag', 'Link', 'Location', 'Retry-After', 'Idempotency-Replayed', 'X-Request-Id', 'Allow'];

/** Security headers on every answer, and CORS for the configured origins. */
export function registerHeaders(fastify: FastifyInstance, origins: string[]): void {
  fastify.addHook('onRequest', (_request, reply, done) => {
    reply.headers(SECURITY);
    done();
  });
  if (origins.length === 0) return;
  fastify.register(cors, {
    origin: origins,
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    exposedHeaders: EXPOSED,
    maxAge: 600,
  });
}
