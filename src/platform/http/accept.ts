import type { FastifyInstance } from 'fastify';
import { LRUCache } from 'lru-cache';
import Negotiator from 'negotiator';
import { Problem } from './problem.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The media types of the route's answers, where they are not JSON. */
    produces?: string | string[];
  }
}

/** Longer headers are not parsed, since the time for it may grow with the square of their length. */
const LONGEST_LIST = 1000;

/** Whether an Accept header is so long that it is ignored, as RFC 9110, 12.5.1 allows. */
export const isTooLong = (header: string): boolean => header.length > LONGEST_LIST;

/** Verdicts by media type and the header's text, of which there are few different ones. */
const verdicts = new LRUCache<string, boolean>({
  max: 500,
  memoMethod(key) {
    const [type = '', accept] = key.split('\n');
    return new Negotiator({ headers: { accept } }).mediaTypes([type, `${type};charset=utf-8`]).length > 0;
  },
});

export const accepts = (header: string, type: string): boolean =>
  header === '*/*' || isTooLong(header) || verdicts.memo(`${type}\n${header}`);

/** The media type that an Accept header likes best: the first of them, if it is too long to be read. */
export const preferred = (accept: string | undefined, types: string[]): string | undefined =>
  new Negotiator({ headers: { accept: accept !== undefined && isTooLong(accept) ? '*/*' : accept } }).mediaType(types);

/** Answers 406, before any work is done, to callers who accept no media type that the route produces. */
export function registerAcceptCheck(fastify: FastifyInstance): void {
  fastify.addHook('onRequest', (request, _reply, done) => {
    const { accept } = request.headers;
    if (!accept || accept === '*/*' || !request.url.startsWith('/api/') || request.is404) return done();
    const types = [request.routeOptions.config.produces ?? 'application/json'].flat();
    const isAccepted = types.some((type) => accepts(accept, type));
    const refusal = `This route answers with ${types.join(' or ')} only.`;
    done(isAccepted ? undefined : new Problem('not-acceptable', refusal));
  });
}
