import { Module } from '@nestjs/common';
import { JobQueueModule } from '../platform/jobs/job-queue.module.js';
import { DeadJobsController } from './dead-jobs.controller.js';
import { DeadJobsService } from './dead-jobs.service.js';

/** Jobs, and what admins see of those that are dead. Without this module, none is enqueued or worked. */
@Module({ imports: [JobQueueModule], controllers: [DeadJobsController], providers: [DeadJobsService] })
export class JobsModule {}
