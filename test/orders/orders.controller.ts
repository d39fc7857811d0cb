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
import { Order } from './order.entity.js';
import { type OrderInput, orderInput, orderPatch, orderQuery, orders } from './order.schema.js';

const id = { schema: resourceId };

@ApiTags('orders')
@Controller(orders.path)
export class OrdersController {
  constructor(@InjectResource(Order) private readonly orders: Resource<Order>) {}

  @route.CreateRoute(orders)
  create(
    @CurrentCaller() { id: ownerId }: Caller,
    @Body({ schema: orderInput }) input: OrderInput,
    @CurrentIdempotencyKey() key?: IdempotencyKey,
  ): Promise<Answer> {
    return this.orders.create({ ...input, ownerId }, key);
  }

  @route.ListRoute(orders)
  list(
    @RequestUrl() url: string,
    @Query({ schema: orderQuery }) query: ListQuery,
    @CurrentCaller() caller: Caller,
  ): Promise<Answer> {
    return this.orders.list(url, query, caller);
  }

  @route.ReadRoute(orders)
  get(@Param('id', id) orderId: string): Promise<Answer> {
    return this.orders.get(orderId);
  }

  @route.ReplaceRoute(orders)
  replace(
    @Param('id', id) orderId: string,
    @Body({ schema: orderInput }) input: OrderInput,
    @route.CurrentChange() change: Change,
  ): Promise<Answer> {
    return this.orders.replace(orderId, input, change);
  }

  @route.PatchRoute(orders)
  patch(
    @Param('id', id) orderId: string,
    @Body({ schema: orderPatch }) patch: object,
    @route.CurrentChange() change: Change,
  ): Promise<Answer> {
    return this.orders.patch(orderId, patch, change);
  }

  @route.RemoveRoute(orders)
  remove(@Param('id', id) orderId: string, @route.CurrentChange() change: Change): Promise<void> {
    return this.orders.remove(orderId, change);
  }
}
