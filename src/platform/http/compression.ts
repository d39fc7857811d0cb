import { pipeline, type Readable } from 'node:stream';
import { promisify } from 'node:util';
import { brotliCompress, constants, createBrotliCompress, createGzip, gzip } from 'node:zlib';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { LRUCache } from 'lru-cache';
import Negotiator from 'negotiator';

type Encoding = 'br' | 'gzip';

/** Below this, compressed is hardly smaller, and costs time. */
const SMALLEST_BYTES = 1024;
const GAINS = /^(?:application\/(?:json|problem\+json|x-ndjson|javascript)|text\/|image\/svg)/;
/** Brotli's own default (11) takes some fifty times as long, for a tenth less. */
const BROTLI = { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } };

const compress = { br: promisify(brotliCompress), gzip: promisify(gzip) };

/** What callers accept, by the header's text: there are few different ones. */
const choices = new LRUCache<string, { encoding: Encoding | undefined }>({ max: 500 });

function choose(header: string): Encoding | undefined {
  const known = choices.get(header);
  if (known) return known.encoding;
  const negotiator = new Negotiator({ headers: { 'accept-encoding': header } });
  const [best] = negotiator.encodings(['br', 'gzip', 'identity']);
  const encoding = best === 'br' || best === 'gzip' ? best : undefined;
  choices.set(header, { encoding });
  return encoding;
}

/** Compresses what gains from it, for callers who take it. A compressed variant has an entity tag of its own, by suffix. */
export function registerCompression(fastify: FastifyInstance): void {
  fastify.addHook('onSend', async (request, reply, payload) => {
    const type = reply.getHeader('content-type');
    if (typeof type !== 'string' || !GAINS.test(type) || reply.hasHeader('content-encoding')) return payload;
    addVary(reply, 'Accept-Encoding');
    const header = request.headers['accept-encoding'];
    if (header === undefined || request.method === 'HEAD' || payload === null || payload === undefined) return payload;
    const encoding = choose(header);
    if (!encoding) return payload;
    if (isStream(payload)) {
      mark(reply, encoding);
      // An end of either that is not clean is one of both.
      return pipeline(payload, encoding === 'br' ? createBrotliCompress(BROTLI) : createGzip(), () => {});
    }
    const bytes = typeof payload === 'string' ? Buffer.from(payload) : (payload as Buffer);
    if (bytes.length < SMALLEST_BYTES) return payload;
    mark(reply, encoding);
    return encoding === 'br' ? compress.br(bytes, BROTLI) : compress.gzip(bytes);
  });
}

const isStream = (payload: unknown): payload is Readable => typeof (payload as { pipe?: unknown }).pipe === 'function';

function mark(reply: FastifyReply, encoding: Encoding): void {
  reply.header('content-encoding', encoding).removeHeader('content-length');
  const tag = reply.getHeader('etag');
  if (typeof tag === 'string') reply.header('etag', tag.replace(/"$/, `-${encoding}"`));
}

/** Adds a name to Vary, once. */
export function addVary(reply: FastifyReply, name: string): void {
  const vary = reply.getHeader('vary');
  if (typeof vary !== 'string') reply.header('vary', name);
  else if (!vary.toLowerCase().includes(name.toLowerCase())) reply.header('vary', `${vary}, ${name}`);
}
