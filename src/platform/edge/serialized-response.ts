import type { ServerResponse } from 'node:http';
import type { Answer } from '../http/answer.js';
import { type Choice, type Encoding, encode, gains, isBusy, tagOf } from '../http/compression.js';
import { isNotModified } from '../http/entity-tag.js';
import { lines } from '../http/headers.js';
import { publicHeaders } from '../http/public-path.js';
import { asBytes, beginningOf, flat, SHORT_BYTES, sendText } from '../http/response.js';
import { isShared } from '../http/shared-caches.js';
import { httpMetrics, type Series } from '../metrics/http-metrics.js';
import type { EdgeRoute } from './edge-route.js';

const LINE = '\r\n';
const [FOUND, NOT_MODIFIED] = [beginningOf(200), beginningOf(304)];

/** One encoding of an answer: what the heads of 200 and 304 say of it, and the body. */
export interface Variant {
  etag: string | undefined;
  found: string;
  notModified: string;
  /** A text of which each character is a byte, as the head's are; when it is long, bytes: all its readers share them. */
  body: string | Buffer;
}

/**
 * An answer as bytes, the same that the pipeline would send. Node would put the head together from some twenty headers
 * each time, which takes as long as all the rest that is done here.
 */
export class SerializedResponse {
  readonly identity: Variant;
  /** Anybody may have it, without a word of who that is. */
  readonly isPublic: boolean;
  /** Caches may give it to many: nothing in it may be one caller's. */
  readonly isShared: boolean;
  /** Of GET with 200, by far the most. */
  private readonly found: Series;
  private readonly variants: { [encoding in Encoding]?: Variant | Promise<Variant> } = {};

  /**
   * @param common what answers depend on, and what clients write before its paths
   * @param grows is told how many bytes an encoding takes that is kept from now on
   */
  constructor(
    private readonly answer: Answer,
    private readonly route: Pick<EdgeRoute, 'template' | 'isForAnyone'>,
    private readonly common: { vary: string; publicPath: string },
    private readonly grows: (bytes: number) => void,
  ) {
    this.found = httpMetrics.of('GET', route.template, 200);
    const control = answer.options.headers?.['cache-control'] ?? '';
    this.isPublic = route.isForAnyone && control.startsWith('public');
    this.isShared = isShared(control);
    this.identity = this.variant(undefined, answer.text);
  }

  observe(method: string, status: number, duration: number): void {
    const series =
      status === 200 && method === 'GET' ? this.found : httpMetrics.of(method, this.route.template, status);
    series.observe(duration / 1000);
  }

  /** Whether a caller with this If-None-Match has the variant already. */
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
      // For want of memory, say: it goes out as it is, and the next caller has it tried again.
      delete this.variants[encoding];
      return this.identity;
    }
  }

  private variant(encoding: Encoding | undefined, body: string | Buffer): Variant {
    const { etag: plain, headers = {}, type } = this.answer.options;
    const etag = plain && encoding ? tagOf(plain, encoding) : plain;
    const bytes = kept(body);
    // A short text of ASCII is the answer's own.
    if (bytes !== body || typeof body !== 'string') this.grows(bytes.length);
    const { vary, publicPath } = this.common;
    const head = `${lines(publicHeaders(publicPath, headers))}${etag ? `etag: ${etag}${LINE}` : ''}vary: ${vary}${LINE}`;
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

/** Sends a variant with headers of this one request. @returns how many bytes */
export function send(
  response: ServerResponse,
  variant: Variant,
  isKnown: boolean,
  own: string,
  isHead: boolean,
): number {
  const { body } = variant;
  // To HEAD, 304 says how long the body would be: Fastify does.
  const length = isKnown && isHead ? `content-length: ${body.length}${LINE}` : '';
  const head = `${isKnown ? NOT_MODIFIED : FOUND}${own}${isKnown ? variant.notModified + length : variant.found}${LINE}`;
  if (isKnown || isHead) return sendText(response, isKnown ? 304 : 200, head);
  return typeof body === 'string' ? sendText(response, 200, head + body) : sendText(response, 200, head, body);
}
