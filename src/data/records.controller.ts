import { CacheKey } from '@nestjs/cache-manager';
import type { ExecutionContext } from '@nestjs/common';
import { Body, Controller, Delete, Get, Headers, Inject, Param, Patch, Post, Put, Query, Req } from '@nestjs/common';
import { ApiConsumes, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { staleness } from '../platform/cache/entry.js';
import { CONFIG, type Config } from '../platform/config.token.js';
import { AtEdge } from '../platform/edge/at-edge.js';
import { Answer } from '../platform/http/answer.js';
import { NDJSON } from '../platform/http/body.js';
import { type Caller, CurrentCaller } from '../platform/http/caller.js';
import { Operation } from '../platform/http/operation.js';
import { WhileAllowed } from '../platform/http/while-allowed.js';
import type { StoredRow } from '../platform/resource/creations.js';
import type { IdempotencyKey } from '../platform/resource/idempotency.js';
import { ApiIdempotencyKey, CurrentIdempotencyKey, REPLAYED } from '../platform/resource/idempotency.js';
import { pageAnswer, RequestUrl } from '../platform/resource/page.js';
import { BulkRoute, ExportRoute } from '../platform/resource/routes.js';
import { type BulkQuery, bulkQuery } from '../platform/resource/upload/upload.schema.js';
import type { Collection } from './collection.entity.js';
import { CurrentCollection, ForReaders, ForWriters } from './collection.guard.js';
import { cachingOf } from './collection.schema.js';
import type { Found } from './collections.service.js';
import * as schema from './record.schema.js';
import { RecordsService } from './records.service.js';
import { StatsService } from './stats.service.js';

/** The records of a collection: single ones, bulk uploads, exports and statistics. */
@ApiTags('data')
@Controller('api/v1/data/:collection')
export class RecordsController {
  constructor(
    private readonly records: RecordsService,
    private readonly stats: StatsService,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  @ForWriters()
  @BulkRoute({ name: 'record', input: schema.recordInputSchema }, 'records/bulk')
  createMany(
    @Req() request: FastifyRequest,
    @CurrentCollection() collection: Collection,
    @Query({ schema: bulkQuery }) { atomic }: BulkQuery,
    @WhileAllowed() allowed: AbortSignal,
    @CurrentIdempotencyKey() key?: IdempotencyKey,
  ): Promise<Answer> {
    return this.records.createMany(collection, { request, atomic, allowed, key });
  }

  @Post('records')
  @ForWriters()
  @Operation('createRecord', 'Add a record', { answer: 'The record.', body: schema.recordSchema, status: 201 })
  @ApiIdempotencyKey()
  async create(
    @CurrentCollection() collection: Collection,
    @Body({ schema: schema.recordInputSchema }) input: schema.RecordInput,
    @CurrentIdempotencyKey() key?: IdempotencyKey,
  ): Promise<Answer> {
    const { row, isReplayed } = await this.records.create(collection, input, key);
    const location = schema.recordPath(collection.name, row.id);
    return this.answer(collection, row, { location, ...(isReplayed ? REPLAYED : {}) });
  }

  @Get('records')
  @AtEdge()
  @ForReaders()
  @Operation('listRecords', 'List records by time, newest first', {
    answer: 'A page of records.',
    body: schema.recordPage,
  })
  async list(
    @RequestUrl() url: string,
    @CurrentCollection() collection: Collection,
    @Query({ schema: schema.recordQuery }) query: schema.RecordQuery,
    @CurrentCaller() caller?: Caller,
  ): Promise<Answer> {
    const page = await this.records.list(collection, query, caller?.id);
    return pageAnswer(url, page, cachingOf(collection));
  }

  @Get('records/:id')
  @CacheKey(keptAs)
  @ForReaders()
  @Operation('getRecord', 'Read a record', { answer: 'The record.', body: schema.recordSchema })
  async get(
    @Param('collection') name: string,
    @CurrentCollection() collection: Found | Promise<Found>,
    @Param('id', { schema: schema.recordId }) id: string,
  ): Promise<Answer> {
    const record = await this.records.get(name, collection, id);
    return this.answer((await collection) as Collection, record);
  }

  @Put('records/:id')
  @ForWriters()
  @Operation('replaceRecord', 'Replace a record', { answer: 'The changed record.', body: schema.recordSchema })
  async replace(
    @CurrentCollection() collection: Collection,
    @Param('id', { schema: schema.recordId }) id: string,
    @Body({ schema: schema.recordReplacementSchema }) input: schema.RecordInput,
    @Headers('if-match') ifMatch?: string,
  ): Promise<Answer> {
    return this.answer(collection, await this.records.replace(collection, id, input, ifMatch));
  }

  @Patch('records/:id')
  @ApiConsumes('application/merge-patch+json')
  @ForWriters()
  @Operation('patchRecord', 'Change a record', { answer: 'The changed record.', body: schema.recordSchema })
  async patch(
    @CurrentCollection() collection: Collection,
    @Param('id', { schema: schema.recordId }) id: string,
    @Body({ schema: schema.recordPatchSchema }) patch: schema.RecordPatch,
    @Headers('if-match') ifMatch?: string,
  ): Promise<Answer> {
    return this.answer(collection, await this.records.patch(collection, id, patch, ifMatch));
  }

  @Delete('records/:id')
  @ForWriters()
  @Operation('deleteRecord', 'Delete a record', { answer: 'The record is deleted.' })
  async remove(
    @CurrentCollection() collection: Collection,
    @Param('id', { schema: schema.recordId }) id: string,
    @Headers('if-match') ifMatch?: string,
  ): Promise<void> {
    await this.records.remove(collection, id, ifMatch);
  }

  @ForReaders()
  @ExportRoute({ name: 'record' }, 'records/export')
  async export(
    @Req() request: FastifyRequest,
    @CurrentCollection() collection: Collection,
    @Query({ schema: schema.exportQuery }) query: schema.ExportQuery,
    @WhileAllowed() allowed: AbortSignal,
  ): Promise<Answer> {
    const lines = await this.records.export(collection, query, request, allowed);
    return new Answer(lines, { type: NDJSON, headers: cachingOf(collection) });
  }

  @Get('stats')
  @ForReaders()
  @Operation('getStats', 'Count records by time, and by the values of a field', {
    answer: 'The counts.',
    body: schema.statsSchema,
  })
  async count(
    @CurrentCollection() collection: Collection,
    @Query({ schema: schema.statsQuery }) query: schema.StatsQuery,
    @CurrentCaller() caller?: Caller,
  ): Promise<Answer> {
    const entry = await this.stats.of(collection, query, caller?.id);
    const stale = staleness(entry);
    const headers = { ...cachingOf(collection), ...(stale && { 'cache-status': stale }) };
    return new Answer(entry.value, { headers });
  }

  private answer(collection: Collection, record: StoredRow, headers: Record<string, string> = {}): Answer {
    return schema.recordAnswer(collection, record, this.config, headers);
  }
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** The cache key of a record's answer; undefined for a malformed id. */
function keptAs(context: ExecutionContext): string | undefined {
  const { collection, id } = context.switchToHttp().getRequest().params;
  return UUID.test(id) ? schema.recordPath(collection, id) : undefined;
}
