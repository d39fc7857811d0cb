import { CacheKey } from '@nestjs/cache-manager';
import {
  Body,
  Controller,
  Delete,
  type ExecutionContext,
  Get,
  Headers,
  Inject,
  Param,
  Patch,
  Post,
  Put,
  Query,
  Req,
} from '@nestjs/common';
import { ApiConsumes, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import type { Config } from '../config.js';
import { CONFIG } from '../platform/config.token.js';
import type { Answer } from '../platform/http/answer.js';
import { type Caller, CurrentCaller } from '../platform/http/caller.js';
import {
  ApiIdempotencyKey,
  CurrentIdempotencyKey,
  type IdempotencyKey,
  REPLAYED,
} from '../platform/http/idempotency.js';
import { Operation } from '../platform/http/operation.js';
import { pageAnswer } from '../platform/http/page.js';
import type { Collection } from './collection.entity.js';
import { CurrentCollection, ForReaders, ForWriters } from './collection.guard.js';
import { cacheControl } from './collection.schema.js';
import {
  type RecordInput,
  type RecordPatch,
  type RecordQuery,
  recordAnswer,
  recordId,
  recordInputSchema,
  recordPage,
  recordPatchSchema,
  recordPath,
  recordQuery,
  recordReplacementSchema,
  recordSchema,
} from './record.schema.js';
import type { StoredRecord } from './record.statements.js';
import { RecordsService } from './records.service.js';

@ApiTags('data')
@Controller('api/v1/data/:collection/records')
export class RecordsController {
  constructor(
    private readonly records: RecordsService,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  @Post()
  @ForWriters()
  @Operation('createRecord', 'Add a record', { answer: 'The record.', body: recordSchema, status: 201 })
  @ApiIdempotencyKey()
  async create(
    @CurrentCollection() collection: Collection,
    @Body({ schema: recordInputSchema }) input: RecordInput,
    @CurrentIdempotencyKey() key?: IdempotencyKey,
  ): Promise<Answer> {
    const { record, isReplayed } = await this.records.create(collection, input, key);
    const location = recordPath(collection.name, record.id);
    return this.answer(collection, record, { location, ...(isReplayed ? REPLAYED : {}) });
  }

  @Get()
  @ForReaders()
  @Operation('listRecords', 'List records by time, newest first', { answer: 'A page of records.', body: recordPage })
  async list(
    @Req() request: FastifyRequest,
    @CurrentCollection() collection: Collection,
    @Query({ schema: recordQuery }) query: RecordQuery,
    @CurrentCaller() caller?: Caller,
  ): Promise<Answer> {
    const headers = { 'cache-control': cacheControl(collection.visibility) };
    return pageAnswer(request.url, await this.records.list(collection, query, caller?.id), headers);
  }

  @Get(':id')
  @CacheKey(keptAs)
  @ForReaders()
  @Operation('getRecord', 'Read a record', { answer: 'The record.', body: recordSchema })
  async get(
    @CurrentCollection() collection: Collection,
    @Param('id', { schema: recordId }) id: string,
  ): Promise<Answer> {
    return this.answer(collection, await this.records.get(collection, id));
  }

  @Put(':id')
  @ForWriters()
  @Operation('replaceRecord', 'Replace a record', { answer: 'The record as it is now.', body: recordSchema })
  async replace(
    @CurrentCollection() collection: Collection,
    @Param('id', { schema: recordId }) id: string,
    @Body({ schema: recordReplacementSchema }) input: RecordInput,
    @Headers('if-match') ifMatch?: string,
  ): Promise<Answer> {
    return this.answer(collection, await this.records.replace(collection, id, input, ifMatch));
  }

  @Patch(':id')
  @ApiConsumes('application/merge-patch+json', 'application/json')
  @ForWriters()
  @Operation('patchRecord', 'Change a record', { answer: 'The record as it is now.', body: recordSchema })
  async patch(
    @CurrentCollection() collection: Collection,
    @Param('id', { schema: recordId }) id: string,
    @Body({ schema: recordPatchSchema }) patch: RecordPatch,
    @Headers('if-match') ifMatch?: string,
  ): Promise<Answer> {
    return this.answer(collection, await this.records.patch(collection, id, patch, ifMatch));
  }

  @Delete(':id')
  @ForWriters()
  @Operation('deleteRecord', 'Delete a record', { answer: 'The record is gone.' })
  async remove(
    @CurrentCollection() collection: Collection,
    @Param('id', { schema: recordId }) id: string,
    @Headers('if-match') ifMatch?: string,
  ): Promise<void> {
    await this.records.remove(collection, id, ifMatch);
  }

  private answer(collection: Collection, record: StoredRecord, headers: Record<string, string> = {}): Answer {
    return recordAnswer(collection, record, this.config.PUBLIC_MAX_AGE_S, headers);
  }
}

/** What an answer is kept as; undefined for an id that is none. */
function keptAs(context: ExecutionContext): string | undefined {
  const { collection, id } = context.switchToHttp().getRequest().params;
  return recordId.safeParse(id).success ? recordPath(collection, id) : undefined;
}
