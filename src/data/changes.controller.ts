import { Controller, Query, Req } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import type { Answer } from '../platform/http/answer.js';
import { WhileAllowed } from '../platform/http/while-allowed.js';
import { ChangesRoute } from '../platform/resource/routes.js';
import type { Collection } from './collection.entity.js';
import { CurrentCollection, ForReaders } from './collection.guard.js';
import * as schema from './record.schema.js';
import { RecordsService } from './records.service.js';

/** What happens to a collection's records, as it happens. */
@ApiTags('data')
@Controller('api/v1/data/:collection')
export class ChangesController {
  constructor(private readonly records: RecordsService) {}

  @ForReaders()
  @ChangesRoute({ name: 'record' })
  changes(
    @Req() request: FastifyRequest,
    @CurrentCollection() collection: Collection,
    @Query({ schema: schema.changesQuery }) query: schema.ChangesQuery,
    @WhileAllowed() allowed: AbortSignal,
  ): Promise<Answer> {
    return this.records.changes(collection, query, request, allowed);
  }
}
