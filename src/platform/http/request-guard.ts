import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { invalid, Problem } from './problem.js';
import { readQuery } from './query.js';
import { splitUrl } from './split-url.js';

/** The Host grammar of RFC 9112, 3.2, without commas: several Host headers, joined by Node, do not match. */
const HOST = /^(?:\[[\da-f:.]+\]|[\w.~%!$&'()*+;=-]*)(?::\d{0,5})?$/i;

export const isHost = (text: string | undefined): boolean => text !== undefined && HOST.test(text);

/** This process' random prefix. With a counter behind it, an id is as unique as a UUID and costs less. */
const ORIGIN = `${randomBytes(9).toString('base64url')}.`;
/** Starts at ten digits, so that the ids of nine billion requests have the same length. */
let last = 1_000_000_000;

/** The caller's own x-request-id if it is well-formed, else a new one. */
export function requestId(raw: Pick<IncomingMessage, 'headers'>): string {
  const given = raw.headers['x-request-id'];
  return typeof given === 'string' && /^[A-Za-z0-9._-]{1,128}$/.test(given) ? given : ORIGIN + ++last;
}

/** For a request that a proxy may have framed differently: nothing more is read on its connection. */
const ambiguous = (detail: string) => new Problem('invalid-request', detail, {}, { connection: 'close' });

const FAILED = Symbol('failed');
type Failable = IncomingMessage & { [FAILED]?: Error };

/** Makes the pipeline answer a request with this error and do nothing else. */
export function failWith(raw: Failable, error: Error): void {
  raw[FAILED] = error;
}

/** Refuses, before anything reads them, requests that no route accepts: odd bytes in the URL, encoded bodies. */
export function registerRequestGuard(fastify: FastifyInstance): void {
  fastify.addHook('onRequest', (request, _reply, done) =>
    done((request.raw as Failable)[FAILED] ?? flawOf(request.raw)),
  );
}

function flawOf({ url = '/', headers, httpVersion }: IncomingMessage): Problem | undefined {
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return ambiguous('This server speaks HTTP/1.1.');
  const { host, 'transfer-encoding': coding } = headers;
  if (host === undefined ? httpVersion === '1.1' : !isHost(host))
    return ambiguous('The Host header is missing, repeated or malformed.');
  if (coding !== undefined && (coding.toLowerCase() !== 'chunked' || httpVersion === '1.0'))
    return ambiguous('This Transfer-Encoding is not supported.');
  if (/[^\x21-\x7e]|#|%00/.test(url)) return invalid('The URL contains characters that are not allowed.');
  if (!readQuery(splitUrl(url)[1])) return invalid('The query is not valid percent-encoded UTF-8, or too long.');
  const encoding = headers['content-encoding']?.toLowerCase() ?? 'identity';
  if (encoding === 'identity') return undefined;
  const detail = 'The body must not have a Content-Encoding.';
  return new Problem('unsupported-media-type', detail, {}, { 'accept-encoding': 'identity' });
}
