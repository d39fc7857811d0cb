import { Body, Controller, Delete, Get, Headers, Param, Patch, Post, Query } from '@nestjs/common';
import { ApiConsumes, ApiTags } from '@nestjs/swagger';
import type { Answer } from '../../platform/http/answer.js';
import { type Caller, CurrentCaller } from '../../platform/http/caller.js';
import { Operation } from '../../platform/http/operation.js';
import { caching } from '../../platform/http/shared-caches.js';
import { resourceId } from '../../platform/resource/definition.js';
import { ApiIdempotencyKey, CurrentIdempotencyKey, type IdempotencyKey } from '../../platform/resource/idempotency.js';
import { pageAnswer, RequestUrl } from '../../platform/resource/page.js';
import type { Collection } from '../collection.entity.js';
import { CurrentCollection, ForWriters } from '../collection.guard.js';
import * as schema from './webhook.schema.js';
import { WebhooksService } from './webhooks.service.js';

const id = { schema: resourceId };

/** Where a collection's changes are posted to: its owner's and admins' to see and change. */
@ApiTags('webhooks')
@Controller('api/v1/data/:collection/webhooks')
export class WebhooksController {
  constructor(private readonly webhooks: WebhooksService) {}

  @Post()
  @ForWriters()
  @ApiIdempotencyKey()
  @Operation('createWebhook', "Post a collection's changes to a URL", {
    answer: 'The webhook, with its secret.',
    body: schema.webhookWithSecret,
    status: 201,
    problems: ['conflict'],
  })
  create(
    @CurrentCollection() collection: Collection,
    @Body({ schema: schema.webhookInput }) input: schema.WebhookInput,
    @CurrentIdempotencyKey() key?: IdempotencyKey,
  ): Promise<Answer> {
    return this.webhooks.create(collection, input, key);
  }

  @Get()
  @ForWriters()
  @Operation('listWebhooks', 'List the webhooks of a collection, newest first', {
    answer: 'A page of webhooks.',
    body: schema.webhookPage,
    problems: ['forbidden'],
  })
  async list(
    @RequestUrl() url: string,
    @CurrentCollection() collection: Collection,
    @Query({ schema: schema.webhookQuery }) query: schema.WebhookQuery,
    @CurrentCaller() { id: callerId }: Caller,
  ): Promise<Answer> {
    return pageAnswer(url, await this.webhooks.list(collection, query, callerId), caching(false));
  }

  @Get(':id')
  @ForWriters()
  @Operation('getWebhook', 'Read a webhook', {
    answer: 'The webhook.',
    body: schema.webhookSchema,
    problems: ['forbidden'],
  })
  get(@CurrentCollection() collection: Collection, @Param('id', id) webhook: string): Promise<Answer> {
    return this.webhooks.get(collection, webhook);
  }

  @Patch(':id')
  @ApiConsumes('application/merge-patch+json')
  @ForWriters()
  @Operation('patchWebhook', 'Change a webhook, or switch it on or off', {
    answer: 'The changed webhook.',
    body: schema.webhookSchema,
  })
  patch(
    @CurrentCollection() collection: Collection,
    @Param('id', id) webhook: string,
    @Body({ schema: schema.webhookPatch }) patch: schema.WebhookPatch,
    @Headers('if-match') ifMatch?: string,
  ): Promise<Answer> {
    return this.webhooks.patch(collection, webhook, patch, ifMatch);
  }

  @Post(':id/rotate')
  @ForWriters()
  @Operation('rotateWebhook', 'Give a webhook a new secret', {
    description: 'For 24 hours, deliveries are signed with the old one too.',
    answer: 'The webhook, with its new secret.',
    body: schema.webhookWithSecret,
  })
  rotate(
    @CurrentCollection() collection: Collection,
    @Param('id', id) webhook: string,
    @Headers('if-match') ifMatch?: string,
  ): Promise<Answer> {
    return this.webhooks.rotate(collection, webhook, ifMatch);
  }

  @Delete(':id')
  @ForWriters()
  @Operation('deleteWebhook', 'Delete a webhook', { answer: 'The webhook is deleted.' })
  async remove(
    @CurrentCollection() collection: Collection,
    @Param('id', id) webhook: string,
    @Headers('if-match') ifMatch?: string,
  ): Promise<void> {
    await this.webhooks.remove(collection, webhook, ifMatch);
  }
}
