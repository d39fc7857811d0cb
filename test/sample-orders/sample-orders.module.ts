import { Module } from '@nestjs/common';
import { ResourceModule } from '../../src/platform/resource/resource.module.js';
import { sampleOrders } from './sample-order.schema.js';
import { SampleOrdersController } from './sample-orders.controller.js';

@Module({ imports: [ResourceModule.forFeature([sampleOrders])], controllers: [SampleOrdersController] })
export class SampleOrdersModule {}
