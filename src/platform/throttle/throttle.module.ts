import { Global, Module, type OnModuleInit } from '@nestjs/common';
import { DiscoveryModule, DiscoveryService, MetadataScanner } from '@nestjs/core';
import { ThrottlerModule } from '@nestjs/throttler';
import type { Config } from '../../config.js';
import { CONFIG } from '../config.token.js';
import { ExactLimits } from './exact.js';
import { exemptPaths } from './exempt.js';
import { Settlement } from './settlement.js';
import { GENERAL, Throttle } from './throttle.js';

/** How much each caller may ask for. Its guard is in app.module.ts, among the others. */
@Global()
@Module({
  imports: [
    DiscoveryModule,
    ThrottlerModule.forRootAsync({
      inject: [CONFIG, Throttle],
      useFactory: ({ RATE_LIMIT_REQUESTS: limit, RATE_LIMIT_WINDOW_S: window }: Config, storage: Throttle) => ({
        throttlers: [{ name: GENERAL, limit, ttl: window * 1000 }],
        storage,
      }),
    }),
  ],
  providers: [Throttle, Settlement, ExactLimits],
  exports: [Throttle, ExactLimits],
})
export class ThrottleModule implements OnModuleInit {
  constructor(
    private readonly throttle: Throttle,
    private readonly discovery: DiscoveryService,
    private readonly scanner: MetadataScanner,
  ) {}

  onModuleInit(): void {
    this.throttle.unlimited = exemptPaths(this.discovery, this.scanner);
  }
}
