import { pipeline, type Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';
import * as zlib from 'node:zlib';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { LRUCache } from 'lru-cache';
import Negotiator from 'negotiator';
import { isTooLong } from './accept.js';
import { splitUrl } from './split-url.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route serves a few files that never change: each encoding of each is made once and kept here. */
    kept?: Map<string, Promise<Buffer>>;
  }
}

/** In the order in which they are used where a caller accepts several alike. */
const ENCODINGS = ['zstd', 'br', 'gzip', 'identity'] as const;
export type Encoding = Exclude<(typeof ENCODINGS)[number], 'identity'>;

/** Below this size compression hardly helps, and costs time. */
const SMALLEST_BYTES = 1024;
const GAINS = /^(?:application\/(?:json|problem\+json|x-ndjson|javascript)|text\/|image\/svg)/;
/** Brotli's default (11) takes some fifty times as long and saves a tenth more. */
const BROTLI = { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 4 } };
const OPTIONS: Record<Encoding, zlib.BrotliOptions> = { br: BROTLI, zstd: {}, gzip: {} };

const compress = { br: promisify(zlib.brotliCompress), zstd: promisify(zlib.zstdCompress), gzip: promisify(zlib.gzip) };
const compressor = { br: zlib.createBrotliCompress, zstd: zlib.createZstdCompress, gzip: zlib.createGzip };

/** Further answers would wait for a thread and hold their bodies in memory, so they are sent uncompressed. */
const MOST_AT_ONCE = 32;
let underWay = 0;
export const isBusy = (): boolean => underWay >= MOST_AT_ONCE;

export async function encode(encoding: Encoding, bytes: Buffer): Promise<Buffer> {
  underWay++;
  try {
    return await compress[encoding](bytes, OPTIONS[encoding]);
  } finally {
    underWay--;
  }
}

/** Whether a body is long enough to be worth compressing. */
export const gains = (body: string | Buffer): boolean => Buffer.byteLength(body) >= SMALLEST_BYTES;

/** The entity tag of a compressed variant; a weak one is the same for all variants. */
export const tagOf = (tag: string, encoding: Encoding): string =>
  tag.startsWith('"') ? tag.replace(/"$/, `-${encoding}"`) : tag;

export interface Choice {
  encoding: Encoding | undefined;
  /** The caller refuses the identity encoding, so even a small body must be compressed. */
  isNeeded: boolean;
}

/** By the text of Accept-Encoding, of which there are few different ones. */
const choices = new LRUCache<string, Choice>({
  max: 500,
  memoMethod(header) {
    const negotiator = new Negotiator({ headers: { 'accept-encoding': header } });
    // @ts-expect-error its types do not know the option.
    const accepted = negotiator.encodings(ENCODINGS, { preferred: ENCODINGS });
    const encoding = accepted[0] as Encoding | 'identity' | undefined;
    return { encoding: encoding === 'identity' ? undefined : encoding, isNeeded: !accepted.includes('identity') };
  },
});

export const choose = (header: string): Choice => (isTooLong(header) ? PLAIN : choices.memo(header));

/**
 * Compresses answers that are worth it, for callers who accept it. A compressed variant has its own entity tag, with a
 * suffix. HEAD and 304 pass through here with their bodies, so that their headers are those of GET and 200.
 */
export function registerCompression(fastify: FastifyInstance): void {
  fastify.addHook('onSend', (request, reply, payload, done) => {
    const variant = variantOf(request, reply, payload);
    if (variant instanceof Promise) void variant.then((bytes) => done(null, bytes), done);
    else done(null, variant);
  });
}

function variantOf(request: FastifyRequest, reply: FastifyReply, payload: unknown): unknown {
  const type = reply.getHeader('content-type');
  if (typeof type !== 'string' || !GAINS.test(type) || reply.hasHeader('content-encoding')) return payload;
  addVary(reply, 'Accept-Encoding');
  if (payload === null || payload === undefined || reply.hasHeader('content-range')) return payload;
  const accepted = request.headers['accept-encoding'];
  const { encoding, isNeeded } = accepted === undefined ? PLAIN : choose(accepted);
  const { kept } = request.routeOptions.config;
  const isFile = kept && reply.statusCode === 200;
  if (isStream(payload)) {
    if (encoding) mark(reply, encoding);
    if (request.method === 'HEAD') return kept?.get(fileName(request, encoding)) ?? payload;
    if (isFile) return fileOf(kept, request, encoding, payload);
    return encoding ? compressed(payload, encoding) : payload;
  }
  const body = payload as string | Buffer;
  const isCompressed = encoding !== undefined && (isNeeded || (gains(body) && (isFile || !isBusy())));
  const tag = reply.getHeader('etag');
  if (isCompressed) mark(reply, encoding);
  if (reply.statusCode === 304) {
    reply.removeHeader('content-type').removeHeader('content-encoding');
    if (request.method === 'GET') return null;
  }
  if (isFile) return fileOf(kept, request, isCompressed ? encoding : undefined, body);
  if (!isCompressed) return body;
  return encode(encoding, Buffer.from(body as string)).catch(() => {
    // Out of memory, for instance: the answer goes out uncompressed, since its work is already done.
    reply.removeHeader('content-encoding');
    if (tag) reply.header('etag', tag);
    return body;
  });
}

const compressed = (stream: Readable, encoding: Encoding): Readable =>
  pipeline(stream, compressor[encoding](OPTIONS[encoding]), ignore);

/** Named by the route where it serves a single file, since one file's URL can be written in many ways. */
function fileName({ routeOptions: { url = '' }, url: target }: FastifyRequest, encoding: Encoding | undefined): string {
  return `${encoding} ${url.includes('*') ? splitUrl(target)[0] : url}`;
}

/** A whole file: a stream and a compressor for each of hundreds of slow readers would take all memory. */
function fileOf(
  files: Map<string, Promise<Buffer>>,
  request: FastifyRequest,
  encoding: Encoding | undefined,
  body: Readable | string | Buffer,
): Promise<Buffer> {
  const name = fileName(request, encoding);
  const known = files.get(name);
  if (known) {
    if (isStream(body)) body.destroy();
    return known;
  }
  const file = fileFrom(body, encoding);
  files.set(name, file);
  file.catch(() => files.delete(name));
  return file;
}

async function fileFrom(body: Readable | string | Buffer, encoding: Encoding | undefined): Promise<Buffer> {
  if (isStream(body)) return buffer(encoding ? compressed(body, encoding) : body);
  return encoding ? encode(encoding, Buffer.from(body as string)) : Buffer.from(body as string);
}

const PLAIN: Choice = { encoding: undefined, isNeeded: false };

const isStream = (payload: unknown): payload is Readable => typeof (payload as { pipe?: unknown }).pipe === 'function';

/** pipeline() destroys the compressed stream with the error, so its reader sees the failure. */
function ignore(): void {}

function mark(reply: FastifyReply, encoding: Encoding): void {
  reply.header('content-encoding', encoding).removeHeader('content-length');
  const tag = reply.getHeader('etag');
  if (typeof tag === 'string') reply.header('etag', tagOf(tag, encoding));
}

/** Adds a name to Vary, once. */
export function addVary(reply: FastifyReply, name: string): void {
  const vary = reply.getHeader('vary');
  if (typeof vary !== 'string') reply.header('vary', name);
  else if (!vary.toLowerCase().includes(name.toLowerCase())) reply.header('vary', `${vary}, ${name}`);
}
