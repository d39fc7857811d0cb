import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { invalid, Problem } from './problem.js';
import { readQuery } from './query.js';
import { splitUrl } from './split-url.js';

/** RFC 9112, 3.2, but for commas, which no host has, so that several in one show. */
const HOST = /^(?:\[[\da-f:.]+\]|[\w.~%!$&'()*+;=-]*)(?::\d{0,5})?$/i;

export const isHost = (text: string | undefined): boolean => text !== undefined && HOST.test(text);

/** Of this process: with a number behind it, an id is as good as a UUID, and cheaper in every answer and line of the log. */
const ORIGIN = `${randomBytes(9).toString('base64url')}.`;
/** So that all ids are of one length, for nine billion requests. */
let last = 1_000_000_000;

/** The caller's own x-request-id if it is a decent one, else a new one. */
export function requestId(raw: Pick<IncomingMessage, 'headers'>): string {
  const given = raw.headers['x-request-id'];
  return typeof given === 'string' && /^[A-Za-z0-9._-]{1,128}$/.test(given) ? given : ORIGIN + ++last;
}

/** For what another server may have understood in another way: nothing more is read on that connection. */
const ambiguous = (detail: string) => new Problem('invalid-request', detail, {}, { connection: 'close' });

const FAILED = Symbol('failed');
type Failable = IncomingMessage & { [FAILED]?: Error };

/** Has the pipeline answer a request with what it failed with before, and do nothing else. */
export function failWith(raw: Failable, error: Error): void {
  raw[FAILED] = error;
}

/** Refuses, before anything reads it, what no route could take: odd bytes in the address, encoded bodies. */
export function registerRequestGuard(fastify: FastifyInstance): void {
  fastify.addHook('onRequest', (request, _reply, done) =>
    done((request.raw as Failable)[FAILED] ?? flawOf(request.raw)),
  );
}

function flawOf({ url = '/', headers, httpVersion }: IncomingMessage): Problem | undefined {
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return ambiguous('HTTP/1.1 is spoken here.');
  const { host, 'transfer-encoding': coding } = headers;
  if (host === undefined ? httpVersion === '1.1' : !isHost(host))
    return ambiguous('The Host header is missing, there twice, or no host.');
  if (coding !== undefined && (coding.toLowerCase() !== 'chunked' || httpVersion === '1.0'))
    return ambiguous('The Transfer-Encoding is not one that is read here.');
  if (/[^\x21-\x7e]|#|%00/.test(url)) return invalid('The address holds characters that are not allowed.');
  if (!readQuery(splitUrl(url)[1])) return invalid('The query is not valid percent-encoded UTF-8.');
  const encoding = headers['content-encoding']?.toLowerCase() ?? 'identity';
  if (encoding === 'identity') return undefined;
  const detail = 'A body is read only without Content-Encoding.';
  return new Problem('unsupported-media-type', detail, {}, { 'accept-encoding': 'identity' });
}
