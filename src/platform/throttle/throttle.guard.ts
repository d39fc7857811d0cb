import { type ExecutionContext, Injectable } from '@nestjs/common';
import { ThrottlerGuard, type ThrottlerRequest } from '@nestjs/throttler';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { enforce, overLimit, type Throttle } from './throttle.js';

/**
 * The guard of @nestjs/throttler. Paths that are free of the general limit go through its own logic and decorators; all
 * other paths share the general limit, which is checked at once.
 */
@Injectable()
export class CallerGuard extends ThrottlerGuard {
  override canActivate(context: ExecutionContext): Promise<boolean> {
    const [request, reply] = context.getArgs<[FastifyRequest, FastifyReply]>();
    if (!request.server.throttle?.isLimited(request.raw)) return super.canActivate(context);
    const problem = overLimit(request, reply);
    if (problem) throw problem;
    // Nest continues without awaiting a boolean; the library's type allows only promises.
    return true as unknown as Promise<boolean>;
  }

  protected override async handleRequest(request: ThrottlerRequest): Promise<boolean> {
    const { context, limit, ttl, blockDuration, throttler, getTracker, generateKey } = request;
    const name = throttler.name as string;
    const { req, res } = this.getRequestResponse(context);
    const key = generateKey(context, await getTracker(req, context), name);
    const found = await this.storageService.increment(key, ttl, limit, blockDuration, name);
    const verdict = { admitted: !found.isBlocked, remaining: limit - found.totalHits, reset: found.timeToExpire };
    enforce(res as FastifyReply, [{ name, limit, windowMs: ttl, ...verdict }]);
    return true;
  }

  protected override async getTracker({ caller, raw }: FastifyRequest): Promise<string> {
    return caller?.id ?? (this.storageService as Throttle).addressOf(raw);
  }

  /** The library's own key would be a SHA-256. */
  protected override generateKey(context: ExecutionContext, tracker: string): string {
    return `${context.getClass().name}.${context.getHandler().name}:${tracker}`;
  }
}
