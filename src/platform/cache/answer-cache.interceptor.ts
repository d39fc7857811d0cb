import type { CacheKeyFactory, Cache as CacheManager } from '@nestjs/cache-manager';
import { CACHE_KEY_METADATA, CACHE_MANAGER, CacheInterceptor } from '@nestjs/cache-manager';
import { type CallHandler, type ExecutionContext, Inject, Injectable } from '@nestjs/common';
import { INTERCEPTORS_METADATA } from '@nestjs/common/constants.js';
import { Reflector } from '@nestjs/core';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { lastValueFrom, type Observable, of } from 'rxjs';
import type { Answer } from '../http/answer.js';
import { DeclaredRoutes, enhance } from '../http/declared-routes.js';
import { Problem } from '../http/problem.js';
import { Cache } from './cache.js';
import { type Entry, type Loaded, staleness } from './entry.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** The cache entry that the answer is made of, set by the guard that fetched it. */
    madeOf?: Entry;
  }
}

/**
 * Caches the answers of routes marked with @CacheKey, by the key that it gives. It runs after the guards, so that only
 * callers who may read get here; the entry is the same for all of them. It is added to those routes alone, before their
 * other interceptors: as a global one it would cost every route an rxjs scope, a fifth of the time of an empty request.
 */
@Injectable()
export class AnswerCacheInterceptor extends CacheInterceptor {
  constructor(
    @Inject(CACHE_MANAGER) manager: CacheManager,
    reflector: Reflector,
    private readonly cache: Cache,
    routes: DeclaredRoutes,
  ) {
    super(manager, reflector);
    const kept = routes.all().filter(({ handler }) => Reflect.hasMetadata(CACHE_KEY_METADATA, handler));
    for (const { handler } of kept) enhance(handler, INTERCEPTORS_METADATA, this, 'first');
  }

  override async intercept(context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    const name = this.trackBy(context);
    if (name === undefined) return next.handle();
    const { madeOf, caller } = context.switchToHttp().getRequest<FastifyRequest>();
    const fetched = this.cache.fetch(name, () => keep(() => lastValueFrom(next.handle()), madeOf));
    const entry = fetched instanceof Promise ? await fetched : fetched;
    if (entry.value instanceof Problem) throw entry.value;
    // Before Cache-Status tells the caller anything about the entry.
    entry.value.assertFor(caller);
    const stale = staleness(entry);
    if (stale) context.switchToHttp().getResponse<FastifyReply>().header('cache-status', stale);
    return of(entry.value);
  }

  /** Nest's own would cache every GET by its URL. */
  protected override trackBy(context: ExecutionContext): string | undefined {
    const nameOf = this.reflector.get<CacheKeyFactory | undefined>(CACHE_KEY_METADATA, context.getHandler());
    return nameOf?.(context) as string | undefined;
  }
}

/**
 * Reads an answer for the cache. A "not found" is kept too, for a short while.
 * @param isAllowed the guards' decision, when the read starts before it: a refused caller's "not found" is not kept
 */
export async function keep(
  read: () => Promise<Answer>,
  madeOf?: Entry | Promise<Entry | undefined>,
  isAllowed?: Promise<boolean>,
): Promise<Loaded<Answer | Problem>> {
  try {
    const answer = await read();
    return { value: answer, bytes: answer.bytes, tags: answer.options.tags, madeOf: await madeOf };
  } catch (error) {
    const isAbsent = error instanceof Problem && error.type === 'not-found';
    if (isAbsent && ((await isAllowed) ?? true)) return { value: error, bytes: 0, isAbsent: true };
    throw error;
  }
}
