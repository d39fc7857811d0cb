import { type IncomingMessage, type OutgoingHttpHeaders, ServerResponse, STATUS_CODES } from 'node:http';
import { lines, SECURITY } from './headers.js';

/** Up to this size Node passes a string to the system without keeping a copy while it is sent. */
export const SHORT_BYTES = 16_384;

/** The text's UTF-8 bytes as a latin1 string, one character a byte. */
export const asBytes = (text: string) =>
  Buffer.byteLength(text) === text.length ? text : Buffer.from(text).toString('latin1');

/** Copies a concatenated string, which V8 keeps as a tree of pieces all over the heap, into a flat one. */
export const flat = (text: string) => Buffer.from(text, 'latin1').toString('latin1');

const beginnings = new Map<number, string>();
/** The status line and security headers. Answers of a status share one string, which stays in the CPU's cache. */
export function beginningOf(status: number): string {
  let text = beginnings.get(status);
  if (text === undefined) {
    text = flat(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines(SECURITY)}`);
    beginnings.set(status, text);
  }
  return text;
}

/** The headers that Node would add, kept until the second changes. */
const last = { second: 0, keepAliveMs: 0, text: '' };
function endOf(keepAliveMs: number): string {
  const second = Math.floor(Date.now() / 1000);
  if (second !== last.second || keepAliveMs !== last.keepAliveMs) {
    const date = new Date(second * 1000).toUTCString();
    const kept = `Connection: keep-alive\r\nKeep-Alive: timeout=${Math.floor(keepAliveMs / 1000)}`;
    Object.assign(last, { second, keepAliveMs, text: flat(`Date: ${date}\r\n${kept}\r\n\r\n`) });
  }
  return last.text;
}

/** Headers that do not affect the connection or the framing of the body. */
const PLAIN: ReadonlySet<string> = new Set(
  'access-control-allow-origin access-control-expose-headers allow cache-control cache-status cdn-cache-control content-encoding content-length content-type etag idempotency-replayed link location ratelimit ratelimit-policy retry-after vary www-authenticate x-request-id'.split(
    ' ',
  ),
);

/** Node's internal fields of a response. */
interface Own extends ServerResponse {
  _header: string | null;
  _headerSent: boolean;
  _hasBody: boolean;
  _last: boolean;
  _keepAliveTimeout: number;
  _expect_continue: boolean;
  maxRequestsOnConnectionReached: boolean;
}

/**
 * A response with the security headers, whoever answers. The usual head is a single string, where Node would check and
 * add each of twenty headers.
 */
export class HttpResponse<R extends IncomingMessage = IncomingMessage> extends ServerResponse<R> {
  /** The head is such a string, and waits for the body. */
  private isText = false;

  override writeHead(status: number, headers?: unknown, others?: unknown): this {
    const own = this as unknown as Own;
    const isAlone = typeof headers === 'object' && !Array.isArray(headers) && this.getHeaderNames().length === 0;
    const head = isAlone ? headOf(own, status, headers as OutgoingHttpHeaders) : undefined;
    if (head === undefined) {
      if (isAlone) return super.writeHead(status, { ...SECURITY, ...headers });
      for (const [name, value] of Object.entries(SECURITY))
        if (!this.headersSent && !this.hasHeader(name)) this.setHeader(name, value);
      return super.writeHead(status, headers as string, others as OutgoingHttpHeaders);
    }
    this.statusCode = status;
    own._header = head;
    this.isText = true;
    if (isEmpty(status)) own._hasBody = false;
    return this;
  }

  /** Sends the head and a short body as one latin1 string, which needs no conversion. */
  override end(body?: unknown, encoding?: unknown, done?: unknown): this {
    const own = this as unknown as Own;
    const isWaiting = this.isText && !own._headerSent && own._hasBody;
    if (!isWaiting || typeof body !== 'string' || body.length > SHORT_BYTES || typeof encoding === 'string')
      return super.end(body, encoding as 'utf8', done as () => void);
    own._header += asBytes(body);
    own._hasBody = false;
    return super.end(encoding, done as () => void);
  }
}

const isEmpty = (status: number) => status === 204 || status === 304;

/** The head of a usual answer; undefined for any other, which Node makes and validates. */
function headOf(response: Own, status: number, headers: OutgoingHttpHeaders): string | undefined {
  const isUsual =
    response.shouldKeepAlive &&
    !response.headersSent &&
    !response.statusMessage &&
    !response._expect_continue &&
    !response.maxRequestsOnConnectionReached &&
    response._keepAliveTimeout > 0 &&
    status in STATUS_CODES &&
    status >= 200 &&
    (isEmpty(status) || headers['content-length'] !== undefined);
  if (!isUsual) return undefined;
  let text = beginningOf(status);
  for (const name in headers) {
    const value = headers[name];
    if (!PLAIN.has(name) || typeof value !== 'string' || /[^ -~]/.test(value)) return undefined;
    text += `${name}: ${value}\r\n`;
  }
  return text + endOf(response._keepAliveTimeout);
}

/**
 * Sends a whole answer as a latin1 string in one piece, through `_header`, where Node's own writeHead() puts the head.
 * `bytes` are sent behind it without a copy.
 * @returns the number of bytes sent
 */
export function sendText(response: ServerResponse, status: number, text: string, bytes?: Buffer): number {
  const own = response as Own;
  own._last = !response.shouldKeepAlive;
  response.statusCode = status;
  own._header = text;
  own._hasBody = bytes !== undefined;
  response.end(bytes);
  return text.length + (bytes?.length ?? 0);
}

/** Lets go of a head that was sent, 1 KiB for as long as the answer lasts. Node only looks whether there is one. */
export function forgetHead(response: ServerResponse): void {
  (response as Own)._header = 'sent';
}
