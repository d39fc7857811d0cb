import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Caller } from './caller.js';
import { isNotModified } from './entity-tag.js';
import type { Problem } from './problem.js';
import { publicHeaders } from './public-path.js';

export interface AnswerOptions {
  /** Where it is not the route's usual one. */
  status?: number;
  etag?: string;
  /** Media type; JSON, if left out. */
  type?: string;
  headers?: Record<string, string>;
  /** Names of what it depends on: their change ends a kept one. */
  tags?: string[];
  /** Whom it is for, where that depends on what it says: others are told what stands for that, though it be kept. */
  only?: { isFor(caller: Caller | undefined): boolean; refusal(): Problem };
}

/**
 * What a handler answers when it has more to say than a body. JSON that is text already (PostgreSQL makes it
 * on hot reads) is sent as it is. A read whose entity tag the caller has becomes 304.
 */
export class Answer {
  /** What the edge has made of it, for who asks next. Kept here, since a WeakMap of all of them burdens garbage collection. */
  atEdge?: object;

  constructor(
    readonly body: string | object | Readable,
    readonly options: AnswerOptions = {},
  ) {}

  /** The body as text; of what is streamed there is none. */
  get text(): string {
    return typeof this.body === 'string' ? this.body : JSON.stringify(this.body);
  }

  /** What the text takes in memory, about: V8 has two bytes for each character where one is beyond Latin-1. */
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
    // Its body is needed to tell which variant the caller has, and goes no further than that (see compression.ts).
    if (isRead && etag && isNotModified(request.headers['if-none-match'], etag)) reply.code(304);
    reply.type(type);
    if (!(this.body instanceof Readable)) return reply.send(this.text);
    if (request.method !== 'HEAD') return reply.send(this.body);
    // Fastify would read all of it, only to leave it out.
    this.body.destroy();
    return reply.send(Readable.from([]));
  }
}
