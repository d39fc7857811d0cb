import { type DynamicModule, Global, Module } from '@nestjs/common';
import { DiscoveryModule } from '@nestjs/core';
import type { Logger } from 'pino';
import { AnswerCacheInterceptor } from './cache/answer-cache.interceptor.js';
import { CacheModule } from './cache/cache.module.js';
import { CONFIG, type Config } from './config.token.js';
import { DatabaseModule } from './database/database.module.js';
import type { Migration } from './database/migrations/index.js';
import { Edge } from './edge/edge.js';
import { EdgeRoutes } from './edge/edge-routes.js';
import { FeedModule } from './feed/feed.module.js';
import { BodyGuard } from './http/body.js';
import { DeclaredRoutes } from './http/declared-routes.js';
import { LastingRequests } from './http/while-allowed.js';
import { Background } from './lifecycle/background.js';
import { Lifecycle } from './lifecycle/lifecycle.js';
import { MetricsModule } from './metrics/metrics.module.js';
import { Admission } from './overload/admission.js';
import { Backlog } from './overload/backlog.js';
import { Redis } from './redis/redis.js';
import { Cursors } from './resource/cursor.js';
import { Leftovers } from './resource/leftovers.js';
import { ResourceRepositories } from './resource/resource-repositories.js';
import { RowChanges } from './resource/row-changes.js';
import { SchemaCheck } from './resource/schema-check.js';
import { Uploads } from './resource/upload/uploads.js';
import { ThrottleModule } from './throttle/throttle.module.js';

const FOR_FEATURES = [
  Cursors,
  ResourceRepositories,
  SchemaCheck,
  Leftovers,
  RowChanges,
  Uploads,
  LastingRequests,
  Lifecycle,
  Background,
  Redis,
];

/** What every feature can inject: settings, database, Redis, cursors, lifecycle. */
@Global()
@Module({})
export class PlatformModule {
  static forRoot(config: Config, logger: Logger, edge: Edge, migrations: Migration[]): DynamicModule {
    return {
      module: PlatformModule,
      imports: [
        DiscoveryModule,
        DatabaseModule.forRoot(config, logger, migrations),
        CacheModule,
        MetricsModule,
        ThrottleModule,
        FeedModule,
      ],
      providers: [
        { provide: CONFIG, useValue: config },
        { provide: Edge, useValue: edge },
        DeclaredRoutes,
        BodyGuard,
        AnswerCacheInterceptor,
        EdgeRoutes,
        ...FOR_FEATURES,
        { provide: Admission, useFactory: () => createAdmission(config) },
        { provide: Backlog, useFactory: () => createBacklog(config) },
      ],
      exports: [CONFIG, Edge, Admission, Backlog, ...FOR_FEATURES],
    };
  }
}

const createAdmission = (config: Config) =>
  new Admission({
    min: config.DATABASE_POOL_SIZE,
    max: config.ADMISSION_MAX_REQUESTS,
    initial: Math.min(400, config.ADMISSION_MAX_REQUESTS),
    waitMs: config.ADMISSION_WAIT_MS,
  });

const createBacklog = (config: Config) =>
  new Backlog({ most: config.ANSWER_MEMORY_BYTES, patienceMs: config.SEND_TIMEOUT_MS });
