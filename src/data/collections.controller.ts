import { CacheKey } from '@nestjs/cache-manager';
import { Body, Controller, Delete, Get, Headers, Inject, Param, Put, Query, Req } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { CONFIG, type Config } from '../platform/config.token.js';
import type { Answer } from '../platform/http/answer.js';
import { Anyone, type Caller, CurrentCaller } from '../platform/http/caller.js';
import { Operation } from '../platform/http/operation.js';
import { notFound } from '../platform/http/problem.js';
import { caching } from '../platform/http/shared-caches.js';
import { pageAnswer } from '../platform/resource/page.js';
import type { Collection } from './collection.entity.js';
import { CurrentCollection, ForReaders } from './collection.guard.js';
import * as schema from './collection.schema.js';
import { CollectionsService, type Found } from './collections.service.js';

@ApiTags('data')
@Controller('api/v1/data')
export class CollectionsController {
  constructor(
    private readonly collections: CollectionsService,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  @Get()
  @Anyone()
  @Operation('listCollections', 'List the collections that you may read, by name', {
    answer: 'A page of collections.',
    body: schema.collectionPage,
  })
  async list(
    @Req() request: FastifyRequest,
    @Query({ schema: schema.collectionQuery }) query: schema.CollectionQuery,
    @CurrentCaller() caller?: Caller,
  ): Promise<Answer> {
    return pageAnswer(request.url, await this.collections.list(caller, query), caching(!caller));
  }

  @Put(':collection')
  @Operation('putCollection', 'Create or change a collection', {
    description: 'Creating needs no If-Match and answers 201. Changing needs If-Match and answers 200.',
    answer: 'The changed collection.',
    created: 'The new collection.',
    body: schema.collectionSchema,
    problems: ['conflict'],
  })
  put(
    @CurrentCaller() caller: Caller,
    @Param('collection', { schema: schema.collectionName }) name: string,
    @Body({ schema: schema.collectionInputSchema }) input: schema.CollectionInput,
    @Headers('if-match') ifMatch?: string,
  ): Promise<Answer> {
    const show = (collection: Collection, isNew: boolean) => schema.collectionAnswer(collection, this.config, isNew);
    return this.collections.put(caller, name, input, ifMatch, show);
  }

  @Get(':collection')
  @CacheKey((context) => schema.collectionPath(context.switchToHttp().getRequest().params.collection))
  @ForReaders()
  @Operation('getCollection', 'Read a collection', { answer: 'The collection.', body: schema.collectionSchema })
  async get(@CurrentCollection() collection: Collection | Promise<Found>): Promise<Answer> {
    const found = await collection;
    if (!found) throw notFound();
    return schema.collectionAnswer(found, this.config);
  }

  @Delete(':collection')
  @Operation('deleteCollection', 'Delete a collection with its records', {
    answer: 'The collection is deleted. Its records are removed in the background.',
  })
  async remove(
    @CurrentCaller() caller: Caller,
    @Param('collection', { schema: schema.collectionName }) name: string,
    @Headers('if-match') ifMatch?: string,
  ): Promise<void> {
    await this.collections.remove(caller, name, ifMatch);
  }
}
