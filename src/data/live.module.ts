import { Module } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { Deliveries } from '../platform/resource/webhooks/deliveries.js';
import { webhooksController } from '../platform/resource/webhooks/webhooks.controller.js';
import { WebhooksModule } from '../platform/resource/webhooks/webhooks.module.js';
import { ChangesController } from './changes.controller.js';
import type { Collection } from './collection.entity.js';
import { ForWriters } from './collection.guard.js';
import { collectionPath } from './collection.schema.js';
import { DataModule } from './data.module.js';
import { RecordsService } from './records.service.js';

/** They are the owner's, also those that an admin makes. */
function holderOf(request: FastifyRequest) {
  const { id: scope, name, ownerId } = request.collection as Collection;
  const where = { of: 'records', scope };
  return { path: `${collectionPath(name)}/webhooks`, where, values: { ...where, ownerId } };
}

/** Tells the changes of collections: to listeners, and to URLs of their owners. */
@Module({
  imports: [WebhooksModule, DataModule],
  controllers: [
    ChangesController,
    webhooksController({ name: 'record', path: collectionPath(':collection'), access: ForWriters, holderOf }),
  ],
})
export class LiveModule {
  constructor(deliveries: Deliveries, { feed }: RecordsService) {
    deliveries.add({ name: 'record', feed, mayHave: () => true });
  }
}
