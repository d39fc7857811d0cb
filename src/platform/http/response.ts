import { type IncomingMessage, type OutgoingHttpHeaders, ServerResponse, STATUS_CODES } from 'node:http';
import { lines, SECURITY } from './headers.js';

/** Up to so many bytes Node hands a text to the system without a copy that waits with it. */
export const SHORT_BYTES = 16_384;

/** UTF-8, of which each character is a byte. */
export const asBytes = (text: string) =>
  Buffer.byteLength(text) === text.length ? text : Buffer.from(text).toString('latin1');

/** V8 keeps a text that was put together in its pieces, and would look for them all over the heap each time. */
export const flat = (text: string) => Buffer.from(text, 'latin1').toString('latin1');

const beginnings = new Map<number, string>();
/** How all answers of a status begin. It is kept, so that it is at hand: a thousand answers in turn are not. */
export function beginningOf(status: number): string {
  let text = beginnings.get(status);
  if (text === undefined) {
    text = flat(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines(SECURITY)}`);
    beginnings.set(status, text);
  }
  return text;
}

/** The headers that Node adds, as they were last: they change with the second. */
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

/** Headers that decide nothing about the connection or how the body is sent. */
const PLAIN: ReadonlySet<string> = new Set(
  'access-control-allow-origin access-control-expose-headers allow cache-control cache-status content-encoding content-length content-type etag idempotency-replayed link location ratelimit ratelimit-policy retry-after vary www-authenticate x-request-id'.split(
    ' ',
  ),
);

/** What Node keeps of an answer. */
interface Own extends ServerResponse {
  _header: string | null;
  _headerSent: boolean;
  _hasBody: boolean;
  _last: boolean;
  _keepAliveTimeout: number;
  _expect_continue: boolean;
  maxRequestsOnConnectionReached: boolean;
}

/** An answer with the security headers, whoever gives it. Its usual head is one text: Node would check and add each of twenty headers. */
export class HttpResponse<R extends IncomingMessage = IncomingMessage> extends ServerResponse<R> {
  /** Its head is such a text, and waits for the body. */
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

  /** Head and a short body go out as one text that need not be converted. */
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

/** The head, where nothing about it is to be decided; else Node makes it, and refuses what is none. */
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
 * Sends a whole answer as text, of which each character is a byte: Node takes it from `_header`, where its own writeHead()
 * puts the head, and sends it in one piece. Bytes behind it go out with it, and are not copied.
 * @returns how many bytes both are
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
