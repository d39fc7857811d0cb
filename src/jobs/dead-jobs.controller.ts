import { Controller, Get, Param, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { Answer } from '../platform/http/answer.js';
import { AdminOnly } from '../platform/http/caller.js';
import { Operation } from '../platform/http/operation.js';
import { caching } from '../platform/http/shared-caches.js';
import { pageAnswer, RequestUrl } from '../platform/resource/page.js';
import * as schema from './dead-job.schema.js';
import { DeadJobsService } from './dead-jobs.service.js';

@ApiTags('jobs')
@Controller('/api/v1/admin/jobs/dead')
export class DeadJobsController {
  constructor(private readonly dead: DeadJobsService) {}

  @Get()
  @AdminOnly()
  @Operation('listDeadJobs', 'List jobs whose attempts have all failed, newest first', {
    answer: 'A page of dead jobs.',
    body: schema.deadJobPage,
    problems: ['forbidden'],
  })
  async list(
    @RequestUrl() url: string,
    @Query({ schema: schema.deadJobQuery }) query: schema.DeadJobQuery,
  ): Promise<Answer> {
    return pageAnswer(url, await this.dead.list(query), caching(false));
  }

  @Post(':id/retry')
  @AdminOnly()
  @Operation('retryDeadJob', 'Enqueue a dead job anew', {
    answer: 'The new job.',
    body: schema.retriedSchema,
    problems: ['forbidden', 'conflict'],
  })
  retry(@Param('id', { schema: schema.deadJobId }) id: string): Promise<{ id: string; job: string }> {
    return this.dead.retry(id);
  }
}
