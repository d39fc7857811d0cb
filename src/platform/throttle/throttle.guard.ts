import { type ExecutionContext, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import {
  InjectThrottlerOptions,
  InjectThrottlerStorage,
  ThrottlerGuard,
  type ThrottlerModuleOptions,
  type ThrottlerRequest,
} from '@nestjs/throttler';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { announce, overLimit } from './hooks.js';
import { itemText, policyText, quotaExceeded, Throttle } from './throttle.js';

/**
 * @nestjs/throttler's guard. It decides itself on routes with its decorators; on all others, which have one limit
 * together, nothing is to be found out or waited for.
 */
@Injectable()
export class CallerGuard extends ThrottlerGuard {
  constructor(
    @InjectThrottlerOptions() options: ThrottlerModuleOptions,
    @InjectThrottlerStorage() private readonly throttle: Throttle,
    reflector: Reflector,
  ) {
    super(options, throttle, reflector);
  }

  override async canActivate(context: ExecutionContext): Promise<boolean> {
    const http = context.switchToHttp();
    const request = http.getRequest<FastifyRequest>();
    if (!this.throttle.isLimited(request.raw)) return super.canActivate(context);
    const problem = overLimit(request, http.getResponse<FastifyReply>());
    if (problem) throw problem;
    return true;
  }

  protected override async handleRequest(request: ThrottlerRequest): Promise<boolean> {
    const { context, limit, ttl, blockDuration, throttler, getTracker, generateKey } = request;
    const name = throttler.name as string;
    const { req, res } = this.getRequestResponse(context);
    const key = generateKey(context, await getTracker(req, context), name);
    const { totalHits, timeToExpire, isBlocked } = await this.throttle.increment(key, ttl, limit, blockDuration, name);
    announce(res as FastifyReply, policyText(name, limit, ttl), itemText(name, limit - totalHits, timeToExpire));
    if (isBlocked) throw quotaExceeded(name, timeToExpire);
    return true;
  }

  protected override async getTracker({ caller, raw }: FastifyRequest): Promise<string> {
    return caller?.id ?? this.throttle.addressOf(raw);
  }

  /** The library's own is a SHA-256. */
  protected override generateKey(context: ExecutionContext, tracker: string): string {
    return `${context.getClass().name}.${context.getHandler().name}:${tracker}`;
  }
}
