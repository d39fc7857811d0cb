import {
  applyDecorators,
  Body,
  type CanActivate,
  Controller,
  createParamDecorator,
  Delete,
  type ExecutionContext,
  Get,
  Headers,
  Injectable,
  Param,
  Patch,
  Post,
  Query,
  type Type,
  UseGuards,
} from '@nestjs/common';
import { ApiConsumes, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import type { Answer } from '../../http/answer.js';
import { type Caller, CurrentCaller } from '../../http/caller.js';
import { Operation } from '../../http/operation.js';
import type { ProblemType } from '../../http/problem.js';
import { caching } from '../../http/shared-caches.js';
import { resourceId, titled } from '../definition.js';
import { ApiIdempotencyKey, CurrentIdempotencyKey, type IdempotencyKey } from '../idempotency.js';
import { pageAnswer, RequestUrl } from '../page.js';
import * as schema from './webhook.schema.js';
import { type Holder, WebhooksService } from './webhooks.service.js';

const id = { schema: resourceId };

interface Subject {
  /** What one of the items is called whose changes are posted. */
  name: string;
  /** The path that `/webhooks` follows. */
  path: string;
  /** Who may do all of it, where that is not every signed-in user. */
  access?: () => MethodDecorator;
  holderOf(request: FastifyRequest): Holder;
}

/** The routes of the webhooks of a resource, or of a collection. */
export function webhooksController({ name, path, access, holderOf }: Subject): Type {
  const CurrentHolder = createParamDecorator((_, context: ExecutionContext) =>
    holderOf(context.switchToHttp().getRequest<FastifyRequest>()),
  );
  /** Refuses callers whose webhook is not the one in the path, before the body is read. */
  @Injectable()
  class HolderGuard implements CanActivate {
    constructor(private readonly webhooks: WebhooksService) {}

    async canActivate(context: ExecutionContext): Promise<boolean> {
      const request = context.switchToHttp().getRequest<FastifyRequest<{ Params: { id: string } }>>();
      // An invalid id is reported together with the other invalid parameters.
      const { data: webhookId } = resourceId.safeParse(request.params.id);
      if (webhookId) await this.webhooks.get(holderOf(request), webhookId);
      return true;
    }
  }
  const Access = access ?? applyDecorators;
  const problems: ProblemType[] = access ? ['forbidden'] : [];
  const webhook = `${titled({ name })}Webhook`;

  @ApiTags('webhooks')
  @Controller(`${path}/webhooks`)
  class WebhooksController {
    constructor(private readonly webhooks: WebhooksService) {}

    @Post()
    @Access()
    @ApiIdempotencyKey()
    @Operation(`create${webhook}`, `Post changes of ${name}s to a URL`, {
      answer: 'The webhook, with its secret.',
      body: schema.webhookWithSecret,
      status: 201,
      problems: ['conflict'],
    })
    create(
      @CurrentHolder() holder: Holder,
      @Body({ schema: schema.webhookInput }) input: schema.WebhookInput,
      @CurrentIdempotencyKey() key?: IdempotencyKey,
    ): Promise<Answer> {
      return this.webhooks.create(holder, input, key);
    }

    @Get()
    @Access()
    @Operation(`list${webhook}s`, `List the webhooks of ${name}s, newest first`, {
      answer: 'A page of webhooks.',
      body: schema.webhookPage,
      problems,
    })
    async list(
      @RequestUrl() url: string,
      @CurrentHolder() holder: Holder,
      @Query({ schema: schema.webhookQuery }) query: schema.WebhookQuery,
      @CurrentCaller() { id: callerId }: Caller,
    ): Promise<Answer> {
      return pageAnswer(url, await this.webhooks.list(holder, query, callerId), caching(false));
    }

    @Get(':id')
    @Access()
    @Operation(`get${webhook}`, 'Read a webhook', {
      answer: 'The webhook.',
      body: schema.webhookSchema,
      problems,
    })
    get(@CurrentHolder() holder: Holder, @Param('id', id) webhookId: string): Promise<Answer> {
      return this.webhooks.get(holder, webhookId);
    }

    @Patch(':id')
    @ApiConsumes('application/merge-patch+json')
    @UseGuards(HolderGuard)
    @Access()
    @Operation(`patch${webhook}`, 'Change a webhook, or switch it on or off', {
      answer: 'The changed webhook.',
      body: schema.webhookSchema,
    })
    patch(
      @CurrentHolder() holder: Holder,
      @Param('id', id) webhookId: string,
      @Body({ schema: schema.webhookPatch }) patch: schema.WebhookPatch,
      @Headers('if-match') ifMatch?: string,
    ): Promise<Answer> {
      return this.webhooks.patch(holder, webhookId, patch, ifMatch);
    }

    @Post(':id/rotate')
    @Access()
    @Operation(`rotate${webhook}`, 'Give a webhook a new secret', {
      description: 'For 24 hours, deliveries are signed with the old one too.',
      answer: 'The webhook, with its new secret.',
      body: schema.webhookWithSecret,
    })
    rotate(
      @CurrentHolder() holder: Holder,
      @Param('id', id) webhookId: string,
      @Headers('if-match') ifMatch?: string,
    ): Promise<Answer> {
      return this.webhooks.rotate(holder, webhookId, ifMatch);
    }

    @Delete(':id')
    @Access()
    @Operation(`delete${webhook}`, 'Delete a webhook', { answer: 'The webhook is deleted.' })
    async remove(
      @CurrentHolder() holder: Holder,
      @Param('id', id) webhookId: string,
      @Headers('if-match') ifMatch?: string,
    ): Promise<void> {
      await this.webhooks.remove(holder, webhookId, ifMatch);
    }
  }
  return WebhooksController;
}
