import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Answer } from '../http/answer.js';
import { type Choice, type Encoding, encode, gains, isBusy, tagOf } from '../http/compression.js';
import { isNotModified } from '../http/entity-tag.js';
import { lines } from '../http/headers.js';
import { publicHeaders } from '../http/public-path.js';
import { asBytes, beginningOf, flat, SHORT_BYTES, sendText } from '../http/response.js';
import { forAll, isShared } from '../http/shared-caches.js';
import { httpMetrics, type Series } from '../metrics/http-metrics.js';
import type { EdgeRoute } from './edge-route.js';

const LINE = '\r\n';
const [FOUND, NOT_MODIFIED] = [beginningOf(200), beginningOf(304)];

/** An answer in one content encoding: its header lines for 200 and for 304, and its body. */
export interface Variant {
  etag: string | undefined;
  found: string;
  notModified: string;
  /** A short body is a latin1 string, written together with the head; a long one is a Buffer that all readers share. */
  body: string | Buffer;
}

/**
 * An answer as the bytes that the pipeline would send, head included. Node would put the head together from some twenty
 * headers for each request, which takes as long as everything else the edge does.
 */
export class SerializedResponse {
  readonly identity: Variant;
  /** Anybody may have it, signed in or not. */
  readonly isPublic: boolean;
  /** Shared caches may keep it, so it must hold nothing of a single caller's. */
  readonly isShared: boolean;
  /** The metric of GET with 200, by far the most frequent. */
  private readonly found: Series;
  private readonly variants: { [encoding in Encoding]?: Variant | Promise<Variant> } = {};

  /**
   * @param common the Vary header, and the public path that links begin with
   * @param grows is called with the bytes of each further encoding that is kept
   */
  constructor(
    private readonly answer: Answer,
    private readonly route: Pick<EdgeRoute, 'template' | 'isForAnyone'>,
    private readonly common: { vary: string; publicPath: string },
    private readonly grows: (bytes: number) => void,
  ) {
    this.found = httpMetrics.of('GET', route.template, 200);
    const { 'cache-control': control = '', 'cdn-cache-control': ofShared } = answer.options.headers ?? {};
    this.isPublic = route.isForAnyone && control.startsWith('public');
    this.isShared = isShared(control, ofShared);
    this.identity = this.variant(undefined, answer.text);
  }

  observe(request: IncomingMessage, status: number, duration: number): void {
    const { method = '' } = request;
    const series =
      status === 200 && method === 'GET' ? this.found : httpMetrics.of(method, this.route.template, status);
    series.observe(duration / 1000, request);
  }

  /** Whether this If-None-Match names the variant, so that the answer is 304. */
  isKnown(header: string | undefined, { etag }: Variant): boolean {
    if (header === undefined || etag === undefined) return false;
    return header === etag || isNotModified(header, this.answer.options.etag as string);
  }

  /** @returns a promise when the encoding is asked for the first time */
  encodedFor({ encoding, isNeeded }: Choice): Variant | Promise<Variant> {
    if (encoding === undefined || !(isNeeded || gains(this.answer.text))) return this.identity;
    const known = this.variants[encoding];
    if (known) return known;
    if (isBusy() && !isNeeded) return this.identity;
    const made = this.make(encoding);
    this.variants[encoding] = made;
    return made;
  }

  private async make(encoding: Encoding): Promise<Variant> {
    try {
      const variant = this.variant(encoding, await encode(encoding, Buffer.from(this.answer.text)));
      this.variants[encoding] = variant;
      return variant;
    } catch {
      // Out of memory, for instance: this answer goes out unencoded, and the next caller tries again.
      delete this.variants[encoding];
      return this.identity;
    }
  }

  private variant(encoding: Encoding | undefined, body: string | Buffer): Variant {
    const { etag: plain, headers = {}, type } = this.answer.options;
    const etag = plain && encoding ? tagOf(plain, encoding) : plain;
    const bytes = kept(body);
    // A short ASCII body is the answer's own string and takes no memory of its own.
    if (bytes !== body || typeof body !== 'string') this.grows(bytes.length);
    const { vary, publicPath } = this.common;
    const own = publicHeaders(publicPath, this.isShared ? forAll(headers) : headers);
    const head = `${lines(own)}${etag ? `etag: ${etag}${LINE}` : ''}vary: ${vary}${LINE}`;
    const content =
      (encoding ? `content-encoding: ${encoding}${LINE}` : '') +
      `content-type: ${type ?? 'application/json; charset=utf-8'}${LINE}content-length: ${bytes.length}${LINE}`;
    return { etag, notModified: flat(head), found: flat(head + content), body: bytes };
  }
}

function kept(body: string | Buffer): string | Buffer {
  if (typeof body !== 'string') return body.length > SHORT_BYTES ? body : body.toString('latin1');
  return body.length > SHORT_BYTES ? Buffer.from(body) : asBytes(body);
}

/** Sends a variant with this request's own header lines. @returns how many bytes */
export function send(
  response: ServerResponse,
  variant: Variant,
  isKnown: boolean,
  own: string,
  isHead: boolean,
): number {
  const { body } = variant;
  // Like Fastify, a 304 to HEAD says how long the body would be.
  const length = isKnown && isHead ? `content-length: ${body.length}${LINE}` : '';
  const head = `${isKnown ? NOT_MODIFIED : FOUND}${own}${isKnown ? variant.notModified + length : variant.found}${LINE}`;
  if (isKnown || isHead) return sendText(response, isKnown ? 304 : 200, head);
  return typeof body === 'string' ? sendText(response, 200, head + body) : sendText(response, 200, head, body);
}
