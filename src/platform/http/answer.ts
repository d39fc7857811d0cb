import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Caller } from './caller.js';
import { isNotModified } from './entity-tag.js';
import type { Problem } from './problem.js';
import { publicHeaders } from './public-path.js';

export interface AnswerOptions {
  /** The route's usual status by default. */
  status?: number;
  etag?: string;
  /** Media type; JSON by default. */
  type?: string;
  headers?: Record<string, string>;
  /** Cache tags: a change of one of them drops the answer from the cache. */
  tags?: string[];
  /** Who may have it, when that depends on its content. The check also holds for answers from the cache. */
  only?: { isFor(caller: Caller | undefined): boolean; refusal(): Problem };
}

/**
 * A handler's answer with more than a body. A string is JSON already (PostgreSQL makes it on hot reads) and is sent as
 * it is. A read becomes 304 when the caller has its entity tag.
 */
export class Answer {
  /** The edge's serialized form of it. It is kept here, since a WeakMap of all answers burdens garbage collection. */
  atEdge?: object;

  constructor(
    readonly body: string | object | Readable,
    readonly options: AnswerOptions = {},
  ) {}

  /** The body as text. Not for streams. */
  get text(): string {
    return typeof this.body === 'string' ? this.body : JSON.stringify(this.body);
  }

  /** About how much memory the text takes: V8 uses two bytes a character if any is beyond Latin-1. */
  get bytes(): number {
    const { text } = this;
    return Buffer.byteLength(text) === text.length ? text.length : 2 * text.length;
  }

  isFor(caller: Caller | undefined): boolean {
    return this.options.only?.isFor(caller) ?? true;
  }

  /** @throws Problem when it is not for this caller */
  assertFor(caller: Caller | undefined): void {
    const { only } = this.options;
    if (only && !only.isFor(caller)) throw only.refusal();
  }

  /** @throws Problem when it is not for this caller */
  send(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    this.assertFor(request.caller);
    const { status, etag, headers, type = 'application/json; charset=utf-8' } = this.options;
    if (status) reply.code(status);
    if (headers) reply.headers(publicHeaders(request.server.getDecorator('publicPath'), headers));
    if (etag) reply.header('etag', etag);
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    // compression.ts needs the body to tell which variant the caller has, and then drops it.
    if (isRead && etag && isNotModified(request.headers['if-none-match'], etag)) reply.code(304);
    reply.type(type);
    if (!(this.body instanceof Readable)) return reply.send(this.text);
    if (request.method !== 'HEAD') return reply.send(this.body);
    // Fastify would read the whole stream to discard it.
    this.body.destroy();
    return reply.send(Readable.from([]));
  }
}
