import type { Readable } from 'node:stream';
import { Controller, Post, Query, Req } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import { ApiBody, ApiConsumes, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { Answer } from '../platform/http/answer.js';
import {
  ApiIdempotencyKey,
  CurrentIdempotencyKey,
  type IdempotencyKey,
  REPLAYED,
} from '../platform/http/idempotency.js';
import { Operation } from '../platform/http/operation.js';
import { invalid } from '../platform/http/problem.js';
import { BulkService } from './bulk.service.js';
import type { Collection } from './collection.entity.js';
import { CurrentCollection, ForWriters } from './collection.guard.js';
import { type BulkQuery, bulkQuery, bulkReportSchema } from './record.schema.js';

const RECORD = { $ref: '#/components/schemas/RecordInput' };

@ApiTags('data')
@Controller('api/v1/data/:collection/records/bulk')
export class BulkController {
  constructor(private readonly bulk: BulkService) {}

  @Post()
  @ForWriters()
  @RouteConfig({ streamed: true })
  @ApiConsumes('application/json', 'application/x-ndjson')
  @ApiBody({ required: true, schema: { type: 'array', items: RECORD } })
  @Operation('createRecords', 'Add many records', {
    description:
      'Takes one record a line (application/x-ndjson) or a JSON array, and stores them in batches while it reads. Bad lines are reported; the good ones are stored, unless `atomic` is true.',
    answer: 'What was stored and what was not.',
    body: bulkReportSchema,
    problems: ['unprocessable-content'],
  })
  @ApiIdempotencyKey()
  async create(
    @Req() request: FastifyRequest,
    @CurrentCollection() collection: Collection,
    @Query({ schema: bulkQuery }) { atomic }: BulkQuery,
    @CurrentIdempotencyKey() key?: IdempotencyKey,
  ): Promise<Answer> {
    const contentType = request.headers['content-type'];
    if (!contentType) throw invalid('The body is missing.');
    const format = /^\s*application\/x-ndjson/i.test(contentType) ? 'lines' : 'array';
    const length = Number(request.headers['content-length']);
    const upload = { body: request.body as Readable, length, format, atomic, key } as const;
    const { json, isReplayed } = await this.bulk.load(collection, upload);
    return new Answer(json, { headers: isReplayed ? REPLAYED : {} });
  }
}
