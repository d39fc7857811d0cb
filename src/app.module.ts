import { type DynamicModule, Module, type Type } from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_PIPE } from '@nestjs/core';
import type { Logger } from 'pino';
import { AdminModule } from './admin/admin.module.js';
import { AuthGuard } from './auth/auth.guard.js';
import { AuthModule } from './auth/auth.module.js';
import type { Config } from './config.js';
import { DataModule } from './data/data.module.js';
import { LiveModule } from './data/live.module.js';
import { HealthModule } from './health/health.module.js';
import { JobsModule } from './jobs/jobs.module.js';
import { migrations } from './migrations.js';
import type { Migration } from './platform/database/migrations/index.js';
import type { Edge } from './platform/edge/edge.js';
import { ProblemFilter } from './platform/http/errors.js';
import { ValidationPipe } from './platform/http/validation.js';
import { PlatformModule } from './platform/platform.module.js';
import { CallerGuard } from './platform/throttle/throttle.guard.js';
import { UsersModule } from './users/users.module.js';

/** Modules and migrations of this one app only: tests and the bench try a module this way before it is built in. */
export interface Added {
  modules: Type[];
  migrations: Migration[];
}

export const NOTHING: Added = { modules: [], migrations: [] };

/** All modules that have routes. Add your own here, and its migration to migrations.ts. */
const FEATURES = [UsersModule, AuthModule, DataModule, HealthModule, AdminModule, JobsModule, LiveModule];

/** All modules, and what every request passes, in the order in which it meets them. */
@Module({})
export class AppModule {
  static forRoot(config: Config, logger: Logger, edge: Edge, added = NOTHING): DynamicModule {
    const platform = PlatformModule.forRoot(config, logger, edge, [...migrations, ...added.migrations]);
    return {
      module: AppModule,
      imports: [platform, ...FEATURES, ...added.modules],
      providers: [
        { provide: APP_GUARD, useExisting: AuthGuard },
        { provide: APP_GUARD, useClass: CallerGuard },
        { provide: APP_PIPE, useClass: ValidationPipe },
        { provide: APP_FILTER, useClass: ProblemFilter },
      ],
    };
  }
}
