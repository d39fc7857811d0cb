import { Body, Controller, Param, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { Answer } from '../../src/platform/http/answer.js';
import { type Caller, CurrentCaller } from '../../src/platform/http/caller.js';
import { type ListQuery, resourceId } from '../../src/platform/resource/definition.js';
import { CurrentIdempotencyKey, type IdempotencyKey } from '../../src/platform/resource/idempotency.js';
import { RequestUrl } from '../../src/platform/resource/page.js';
import type { Change, Resource } from '../../src/platform/resource/resource.js';
import { InjectResource } from '../../src/platform/resource/resource.module.js';
import * as route from '../../src/platform/resource/routes.js';
import { Thing } from './thing.entity.js';
import { type ThingInput, thingInput, thingPatch, thingQuery, things } from './thing.schema.js';

const id = { schema: resourceId };

@ApiTags('things')
@Controller(things.path)
export class ThingsController {
  constructor(@InjectResource(Thing) private readonly things: Resource<Thing>) {}

  @route.CreateRoute(things)
  create(
    @CurrentCaller() { id: ownerId }: Caller,
    @Body({ schema: thingInput }) input: ThingInput,
    @CurrentIdempotencyKey() key?: IdempotencyKey,
  ): Promise<Answer> {
    return this.things.create({ ...input, ownerId }, key);
  }

  @route.ListRoute(things)
  list(
    @RequestUrl() url: string,
    @Query({ schema: thingQuery }) query: ListQuery,
    @CurrentCaller() caller: Caller,
  ): Promise<Answer> {
    return this.things.list(url, query, caller);
  }

  @route.ReadRoute(things)
  get(@Param('id', id) thingId: string): Promise<Answer> {
    return this.things.get(thingId);
  }

  @route.ReplaceRoute(things)
  replace(
    @Param('id', id) thingId: string,
    @Body({ schema: thingInput }) input: ThingInput,
    @route.CurrentChange() change: Change,
  ): Promise<Answer> {
    return this.things.replace(thingId, input, change);
  }

  @route.PatchRoute(things)
  patch(
    @Param('id', id) thingId: string,
    @Body({ schema: thingPatch }) patch: object,
    @route.CurrentChange() change: Change,
  ): Promise<Answer> {
    return this.things.patch(thingId, patch, change);
  }

  @route.RemoveRoute(things)
  remove(@Param('id', id) thingId: string, @route.CurrentChange() change: Change): Promise<void> {
    return this.things.remove(thingId, change);
  }
}
