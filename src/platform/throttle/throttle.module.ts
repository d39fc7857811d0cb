import { Global, Module } from '@nestjs/common';
import { ThrottlerModule } from '@nestjs/throttler';
import { CONFIG, type Config } from '../config.token.js';
import { ExactLimits } from './exact-limits.js';
import { Settlement } from './settlement.js';
import { GENERAL, Throttle } from './throttle.js';

/** Rate limits. The guard is in app.module.ts, among the others. */
@Global()
@Module({
  imports: [
    ThrottlerModule.forRootAsync({
      inject: [CONFIG, Throttle],
      useFactory: ({ RATE_LIMIT_REQUESTS: limit, RATE_LIMIT_WINDOW_S: window }: Config, storage: Throttle) => ({
        throttlers: [{ name: GENERAL, limit, ttl: window * 1000 }],
        storage,
      }),
    }),
  ],
  providers: [Throttle, Settlement, ExactLimits],
  exports: [Throttle, Settlement, ExactLimits],
})
export class ThrottleModule {}
