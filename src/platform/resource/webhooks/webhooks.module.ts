import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { makeCounterProvider, makeGaugeProvider } from '@willsoto/nestjs-prometheus';
import type { Gauge } from 'prom-client';
import { JobQueueModule } from '../../jobs/job-queue.module.js';
import { DELIVERIES, Deliveries } from './deliveries.js';
import { Outbound } from './outbound.js';
import { Webhook } from './webhook.entity.js';
import { WebhooksService } from './webhooks.service.js';

const figures = [
  makeCounterProvider({
    name: DELIVERIES,
    help: 'Attempts to deliver an event to a webhook, by outcome: delivered, failed.',
    labelNames: ['outcome'],
  }),
  makeGaugeProvider({
    name: 'webhook_oldest_undelivered_seconds',
    help: 'For how long the oldest change that a webhook has not had has been there; 0 when all have all.',
    aggregator: 'max',
    inject: [Deliveries],
    collect(this: Gauge, { oldest }: Deliveries) {
      this.set(oldest);
    },
  }),
];

/** Posts changes to URLs. */
@Module({
  imports: [TypeOrmModule.forFeature([Webhook]), JobQueueModule],
  providers: [WebhooksService, Deliveries, Outbound, ...figures],
  exports: [WebhooksService, Deliveries],
})
export class WebhooksModule {}
