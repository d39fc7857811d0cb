import { type CanActivate, type ExecutionContext, Inject, Injectable, mixin, type Type } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { type Entity, resourceId, resourceToken } from './definition.js';
import type { Resource } from './resource.js';

/** Refuses who may not change the row in the path before anything is taken of a body. Under its lock the row is looked at again. */
export function ChangeGuard(entity: Entity<object>): Type<CanActivate> {
  @Injectable()
  class OfEntity implements CanActivate {
    constructor(@Inject(resourceToken(entity)) private readonly resource: Resource<object>) {}

    async canActivate(context: ExecutionContext): Promise<boolean> {
      const { params, caller } = context.switchToHttp().getRequest<FastifyRequest<{ Params: { id: string } }>>();
      // What is no id is told of with the other parameters.
      if (caller && resourceId.safeParse(params.id).success) await this.resource.assertMayChange(params.id, caller);
      return true;
    }
  }
  return mixin(OfEntity);
}
