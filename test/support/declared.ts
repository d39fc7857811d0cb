import { Body, Controller, Module, Param, Query, type Type } from '@nestjs/common';
import type { z } from 'zod';
import type { Answer } from '../../src/platform/http/answer.js';
import { Anyone, type Caller, CurrentCaller } from '../../src/platform/http/caller.js';
import {
  type ListQuery,
  listQuery,
  mergePatchOf,
  type ResourceDefinition,
  resourceId,
} from '../../src/platform/resource/definition.js';
import { CurrentIdempotencyKey, type IdempotencyKey } from '../../src/platform/resource/idempotency.js';
import { RequestUrl } from '../../src/platform/resource/page.js';
import type { Change, Resource } from '../../src/platform/resource/resource.js';
import { InjectResource, ResourceModule } from '../../src/platform/resource/resource.module.js';
import * as route from '../../src/platform/resource/routes.js';

/**
 * The module of a resource, with all of its routes.
 * @param valuesOf the values to store, made from the caller's
 * @param isOpen whether single reads need no token
 */
export function declared(
  // biome-ignore lint/suspicious/noExplicitAny: of any entity
  of: ResourceDefinition<any>,
  valuesOf: (caller: Caller, input: object) => object = ({ id: ownerId }, input) => ({ ...input, ownerId }),
  isOpen = false,
): Type {
  const body: { schema: z.ZodType } = { schema: of.input };
  const patchBody = { schema: mergePatchOf(of.input, `${of.entity.name}Patch`) };
  const query = { schema: listQuery(of) };
  const id = { schema: resourceId };

  @Controller(of.path)
  class Routes {
    constructor(@InjectResource(of.entity) private readonly rows: Resource<object>) {}

    @route.CreateRoute(of)
    create(
      @CurrentCaller() caller: Caller,
      @Body(body) input: object,
      @CurrentIdempotencyKey() key?: IdempotencyKey,
    ): Promise<Answer> {
      return this.rows.create(valuesOf(caller, input), key);
    }

    @route.ListRoute(of)
    list(@RequestUrl() url: string, @Query(query) asked: ListQuery, @CurrentCaller() caller: Caller): Promise<Answer> {
      return this.rows.list(url, asked, caller);
    }

    @route.ReadRoute(of)
    get(@Param('id', id) rowId: string): Promise<Answer> {
      return this.rows.get(rowId);
    }

    @route.ReplaceRoute(of)
    replace(
      @Param('id', id) rowId: string,
      @Body(body) input: object,
      @route.CurrentChange() change: Change,
    ): Promise<Answer> {
      return this.rows.replace(rowId, input, change);
    }

    @route.PatchRoute(of)
    patch(
      @Param('id', id) rowId: string,
      @Body(patchBody) patch: object,
      @route.CurrentChange() change: Change,
    ): Promise<Answer> {
      return this.rows.patch(rowId, patch, change);
    }

    @route.RemoveRoute(of)
    remove(@Param('id', id) rowId: string, @route.CurrentChange() change: Change): Promise<void> {
      return this.rows.remove(rowId, change);
    }
  }
  if (isOpen) Anyone()(Routes.prototype, 'get', Object.getOwnPropertyDescriptor(Routes.prototype, 'get') as object);

  @Module({ imports: [ResourceModule.forFeature([of])], controllers: [Routes] })
  class Declared {}
  return Declared;
}
