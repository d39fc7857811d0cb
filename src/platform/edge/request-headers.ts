import type { IncomingMessage } from 'node:http';
import type { Config } from '../config.token.js';
import { corsHeaders, lines } from '../http/headers.js';
import { publicPathOf } from '../http/public-path.js';

const CLOSE = 'connection: close\r\n';

/** The header lines that differ from request to request, joined from few pieces, since each piece costs time. */
export class RequestHeaders {
  /** The value of RateLimit-Policy. */
  policy = '';
  /** The value of Vary. */
  readonly vary: string;
  readonly publicPath: string;
  private readonly origins: Set<string>;
  private readonly keepAlive: string;
  private second = 0;
  private unlimited = '';
  private limited = '';

  constructor(config: Config) {
    this.origins = new Set(config.CORS_ORIGINS);
    this.vary = this.origins.size > 0 ? 'Origin, Accept-Encoding' : 'Accept-Encoding';
    this.publicPath = publicPathOf(config);
    const seconds = Math.floor(config.KEEP_ALIVE_TIMEOUT_MS / 1000);
    this.keepAlive = `connection: keep-alive\r\nkeep-alive: timeout=${seconds}\r\n`;
  }

  /**
   * @param id of the request; undefined for an answer that shared caches may keep
   * @param limit the value of RateLimit, where the request has one
   */
  of({ headers: { origin } }: IncomingMessage, isKept: boolean, id?: string, limit?: string): string {
    const same = this.sameForAll(limit !== undefined);
    let own = `${limit === undefined ? same : same + limit}\r\n`;
    if (id !== undefined) own += `x-request-id: ${id}\r\n`;
    if (!isKept) own = own.replace(this.keepAlive, CLOSE);
    if (origin && this.origins.has(origin)) own += lines(corsHeaders(origin));
    return own;
  }

  /** The lines that change once a second at most, since HTTP's Date has whole seconds. They end before the last value. */
  private sameForAll(isLimited: boolean): string {
    const second = Math.floor(Date.now() / 1000);
    if (second !== this.second) {
      this.second = second;
      this.unlimited = `${this.keepAlive}date: ${new Date(second * 1000).toUTCString()}`;
      this.limited = `${this.unlimited}\r\nratelimit-policy: ${this.policy}\r\nratelimit: `;
    }
    return isLimited ? this.limited : this.unlimited;
  }
}
