import { Module } from '@nestjs/common';
import { ResourceModule } from '../../src/platform/resource/resource.module.js';
import { orders } from './order.schema.js';
import { OrdersController } from './orders.controller.js';

@Module({ imports: [ResourceModule.forFeature([orders])], controllers: [OrdersController] })
export class OrdersModule {}
