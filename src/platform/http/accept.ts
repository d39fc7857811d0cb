import type { FastifyInstance } from 'fastify';
import { LRUCache } from 'lru-cache';
import Negotiator from 'negotiator';
import { Problem } from './problem.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The media type of the route's answers, where it is not JSON. */
    produces?: string;
  }
}

/** Reading a list may take a time that grows with the square of its length. */
const LONGEST_LIST = 1000;

/** Whether what a caller would rather have is told in so many words that it is not looked at (RFC 9110, 12.5.1). */
export const isTooLong = (header: string): boolean => header.length > LONGEST_LIST;

/** Verdicts by the type and the header's text: there are few different ones. */
const verdicts = new LRUCache<string, boolean>({
  max: 500,
  memoMethod(key) {
    const [type = '', accept] = key.split('\n');
    return new Negotiator({ headers: { accept } }).mediaTypes([type, `${type};charset=utf-8`]).length > 0;
  },
});

export const accepts = (header: string, type: string): boolean =>
  header === '*/*' || isTooLong(header) || verdicts.memo(`${type}\n${header}`);

/** Refuses, before any work is done, callers who take no answer that a route of the API can give. */
export function registerAcceptCheck(fastify: FastifyInstance): void {
  fastify.addHook('onRequest', (request, _reply, done) => {
    const { accept } = request.headers;
    if (!accept || accept === '*/*' || !request.url.startsWith('/api/') || request.is404) return done();
    const type = request.routeOptions.config.produces ?? 'application/json';
    done(accepts(accept, type) ? undefined : new Problem('not-acceptable', `This answers with ${type}.`));
  });
}
