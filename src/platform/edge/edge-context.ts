import type { ExecutionContext } from '@nestjs/common';
import type { Entry } from '../cache/entry.js';
import type { Caller } from '../http/caller.js';

/** A request at the edge: the part of Fastify's request that guards, parameter decorators and cache keys may use. */
export interface EdgeRequest {
  readonly method: 'GET';
  readonly url: string;
  readonly params: Record<string, string>;
  readonly query: Record<string, unknown>;
  readonly caller: Caller | undefined;
  madeOf?: Entry;
}

/** Nest's execution context for a request at the edge. */
export class EdgeContext implements ExecutionContext {
  constructor(
    private readonly request: EdgeRequest,
    private readonly handler: (...args: unknown[]) => unknown,
    private readonly controller: new () => object,
  ) {}

  switchToHttp(): this {
    return this;
  }

  getRequest<T>(): T {
    return this.request as T;
  }

  getResponse(): never {
    throw new Error('A request that the edge answers has no response yet.');
  }

  getNext(): never {
    return this.getResponse();
  }

  switchToRpc(): never {
    return this.getResponse();
  }

  switchToWs(): never {
    return this.getResponse();
  }

  getClass<T>(): new () => T {
    return this.controller as new () => T;
  }

  getHandler() {
    return this.handler;
  }

  getType<T extends string>(): T {
    return 'http' as T;
  }

  getArgs<T extends unknown[]>(): T {
    return [this.request] as unknown as T;
  }

  getArgByIndex<T>(index: number): T {
    return this.getArgs()[index] as T;
  }
}
