import { Controller, Get, Query, Req } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { staleness } from '../platform/cache/cache.js';
import { CopyOut } from '../platform/database/copy-out.js';
import { Answer } from '../platform/http/answer.js';
import { type Caller, CurrentCaller } from '../platform/http/caller.js';
import { Operation } from '../platform/http/operation.js';
import type { Collection } from './collection.entity.js';
import { CurrentCollection, ForReaders } from './collection.guard.js';
import { cacheControl } from './collection.schema.js';
import { type ExportQuery, exportQuery, type StatsQuery, statsQuery, statsSchema } from './record.schema.js';
import { exportStatement } from './record.statements.js';
import { StatsService } from './stats.service.js';
import { parseWhere } from './where.js';

const NDJSON = 'application/x-ndjson';

/** Reads of a whole collection: all its records, and figures about them. */
@ApiTags('data')
@Controller('api/v1/data/:collection')
export class ReportsController {
  constructor(
    private readonly copyOut: CopyOut,
    private readonly stats: StatsService,
  ) {}

  @Get('records/export')
  @ForReaders()
  @RouteConfig({ produces: NDJSON })
  @Operation('exportRecords', 'Stream all records that match, one a line', {
    answer: 'The records.',
    body: z.string(),
    type: NDJSON,
  })
  async export(
    @Req() { raw }: FastifyRequest,
    @CurrentCollection() collection: Collection,
    @Query({ schema: exportQuery }) { order, from, to, where }: ExportQuery,
    @CurrentCaller() caller?: Caller,
  ): Promise<Answer> {
    const filter = { collectionId: collection.id, from, to, where: parseWhere(where) };
    const lines = await this.copyOut.stream(exportStatement(filter, order), caller?.id, raw.socket);
    return new Answer(lines, {
      type: NDJSON,
      headers: { 'cache-control': cacheControl(collection.visibility) },
    });
  }

  @Get('stats')
  @ForReaders()
  @Operation('getStats', 'Count records by time, and by the values of a field', {
    answer: 'The counts.',
    body: statsSchema,
  })
  async count(
    @CurrentCollection() collection: Collection,
    @Query({ schema: statsQuery }) query: StatsQuery,
    @CurrentCaller() caller?: Caller,
  ): Promise<Answer> {
    const entry = await this.stats.of(collection, query, caller?.id);
    const stale = staleness(entry);
    const headers = {
      'cache-control': cacheControl(collection.visibility),
      ...(stale ? { 'cache-status': stale } : {}),
    };
    return new Answer(entry.value, { headers });
  }
}
