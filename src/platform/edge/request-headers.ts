import type { IncomingMessage } from 'node:http';
import type { Config } from '../config.token.js';
import { corsHeaders, lines } from '../http/headers.js';
import { publicPathOf } from '../http/public-path.js';

const CLOSE = 'connection: close\r\n';

/** The headers that an answer has for its one request, as lines; of few pieces, which are what a string costs. */
export class RequestHeaders {
  /** As RateLimit-Policy. */
  policy = '';
  /** What answers depend on. */
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
   * @param id of the request; undefined for what goes to many
   * @param limit as RateLimit, where there is one
   */
  of({ headers: { origin } }: IncomingMessage, isKept: boolean, id?: string, limit?: string): string {
    const same = this.sameForAll(limit !== undefined);
    let own = `${limit === undefined ? same : same + limit}\r\n`;
    if (id !== undefined) own += `x-request-id: ${id}\r\n`;
    if (!isKept) own = own.replace(this.keepAlive, CLOSE);
    if (origin && this.origins.has(origin)) own += lines(corsHeaders(origin));
    return own;
  }

  /** What changes no more often than the time of day, which HTTP has in seconds, up to a value or a line's end. */
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
