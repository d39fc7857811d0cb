import { type CanActivate, type ExecutionContext, Inject, Injectable, mixin, type Type } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { type Entity, resourceId, resourceToken } from './definition.js';
import type { Resource } from './resource.js';

/** Refuses callers who may not change the row in the path, before the body is read. The change itself checks again. */
export function ChangeGuard(entity: Entity<object>): Type<CanActivate> {
  @Injectable()
  class OfEntity implements CanActivate {
    constructor(@Inject(resourceToken(entity)) private readonly resource: Resource<object>) {}

    async canActivate(context: ExecutionContext): Promise<boolean> {
      const { params, caller } = context.switchToHttp().getRequest<FastifyRequest<{ Params: { id: string } }>>();
      // An invalid id is reported together with the other invalid parameters.
      if (caller && resourceId.safeParse(params.id).success) await this.resource.assertMayChange(params.id, caller);
      return true;
    }
  }
  return mixin(OfEntity);
}
