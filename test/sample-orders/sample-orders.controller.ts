import { Body, Controller, Param, Query, Req } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import type { Answer } from '../../src/platform/http/answer.js';
import { type Caller, CurrentCaller } from '../../src/platform/http/caller.js';
import { WhileAllowed } from '../../src/platform/http/while-allowed.js';
import {
  type ChangesQuery,
  type ExportQuery,
  type ListQuery,
  resourceId,
} from '../../src/platform/resource/definition.js';
import { CurrentIdempotencyKey, type IdempotencyKey } from '../../src/platform/resource/idempotency.js';
import { RequestUrl } from '../../src/platform/resource/page.js';
import type { Change, Resource } from '../../src/platform/resource/resource.js';
import { InjectResource } from '../../src/platform/resource/resource.module.js';
import * as route from '../../src/platform/resource/routes.js';
import { type BulkQuery, bulkQuery } from '../../src/platform/resource/upload/upload.schema.js';
import { SampleOrder } from './sample-order.entity.js';
import {
  type SampleOrderInput,
  sampleOrderChanges,
  sampleOrderExport,
  sampleOrderInput,
  sampleOrderPatch,
  sampleOrderQuery,
  sampleOrders,
} from './sample-order.schema.js';

const id = { schema: resourceId };

@ApiTags('sample-orders')
@Controller(sampleOrders.path)
export class SampleOrdersController {
  constructor(@InjectResource(SampleOrder) private readonly sampleOrders: Resource<SampleOrder>) {}

  @route.CreateRoute(sampleOrders)
  create(
    @CurrentCaller() { id: ownerId }: Caller,
    @Body({ schema: sampleOrderInput }) input: SampleOrderInput,
    @CurrentIdempotencyKey() key?: IdempotencyKey,
  ): Promise<Answer> {
    return this.sampleOrders.create({ ...input, ownerId }, key);
  }

  @route.BulkRoute(sampleOrders)
  createMany(
    @Req() request: FastifyRequest,
    @CurrentCaller() { id: ownerId }: Caller,
    @Query({ schema: bulkQuery }) { atomic }: BulkQuery,
    @WhileAllowed() allowed: AbortSignal,
    @CurrentIdempotencyKey() key?: IdempotencyKey,
  ): Promise<Answer> {
    return this.sampleOrders.createMany({ ownerId }, { request, atomic, allowed, key });
  }

  @route.ExportRoute(sampleOrders)
  export(
    @Req() request: FastifyRequest,
    @Query({ schema: sampleOrderExport }) query: ExportQuery,
    @WhileAllowed() allowed: AbortSignal,
  ): Promise<Answer> {
    return this.sampleOrders.export(query, request, allowed);
  }

  @route.ChangesRoute(sampleOrders)
  changes(
    @Req() request: FastifyRequest,
    @Query({ schema: sampleOrderChanges }) query: ChangesQuery,
    @WhileAllowed() allowed: AbortSignal,
  ): Promise<Answer> {
    return this.sampleOrders.changes(query, request, allowed);
  }

  @route.ListRoute(sampleOrders)
  list(
    @RequestUrl() url: string,
    @Query({ schema: sampleOrderQuery }) query: ListQuery,
    @CurrentCaller() caller: Caller,
  ): Promise<Answer> {
    return this.sampleOrders.list(url, query, caller);
  }

  @route.ReadRoute(sampleOrders)
  get(@Param('id', id) sampleOrderId: string): Promise<Answer> {
    return this.sampleOrders.get(sampleOrderId);
  }

  @route.ReplaceRoute(sampleOrders)
  replace(
    @Param('id', id) sampleOrderId: string,
    @Body({ schema: sampleOrderInput }) input: SampleOrderInput,
    @route.CurrentChange() change: Change,
  ): Promise<Answer> {
    return this.sampleOrders.replace(sampleOrderId, input, change);
  }

  @route.PatchRoute(sampleOrders)
  patch(
    @Param('id', id) sampleOrderId: string,
    @Body({ schema: sampleOrderPatch }) patch: object,
    @route.CurrentChange() change: Change,
  ): Promise<Answer> {
    return this.sampleOrders.patch(sampleOrderId, patch, change);
  }

  @route.RemoveRoute(sampleOrders)
  remove(@Param('id', id) sampleOrderId: string, @route.CurrentChange() change: Change): Promise<void> {
    return this.sampleOrders.remove(sampleOrderId, change);
  }
}
