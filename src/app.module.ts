import { type DynamicModule, Module } from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_INTERCEPTOR, APP_PIPE } from '@nestjs/core';
import type { Logger } from 'pino';
import { AuthGuard } from './auth/auth.guard.js';
import { AuthModule } from './auth/auth.module.js';
import type { Config } from './config.js';
import { DataModule } from './data/data.module.js';
import { HealthModule } from './health/health.module.js';
import { AnswerCacheInterceptor } from './platform/cache/answer-cache.interceptor.js';
import type { Edge } from './platform/edge/edge.js';
import { ProblemFilter } from './platform/http/errors.js';
import { ValidationPipe } from './platform/http/validation.js';
import { PlatformModule } from './platform/platform.module.js';
import { CallerGuard } from './platform/throttle/throttle.guard.js';
import { UsersModule } from './users/users.module.js';

/** All modules, and what every request passes, in the order in which it meets them. Your own module goes beside DataModule. */
@Module({})
export class AppModule {
  static forRoot(config: Config, logger: Logger, edge: Edge): DynamicModule {
    return {
      module: AppModule,
      imports: [PlatformModule.forRoot(config, logger, edge), UsersModule, AuthModule, DataModule, HealthModule],
      providers: [
        { provide: APP_GUARD, useExisting: AuthGuard },
        { provide: APP_GUARD, useClass: CallerGuard },
        { provide: APP_INTERCEPTOR, useClass: AnswerCacheInterceptor },
        { provide: APP_PIPE, useClass: ValidationPipe },
        { provide: APP_FILTER, useClass: ProblemFilter },
      ],
    };
  }
}
