import { CacheModule as ManagerModule } from '@nestjs/cache-manager';
import { Global, Module } from '@nestjs/common';
import { Redis } from '../redis/redis.js';
import { Cache } from './cache.js';
import { Invalidations } from './invalidations.js';
import { redisTier, SharedTier } from './shared-tier.js';

/** The cache: a first tier in this process, and a second one in Redis for all replicas. */
@Global()
@Module({
  imports: [
    ManagerModule.registerAsync({
      inject: [Redis],
      useFactory: (redis: Redis) => ({ stores: redis.isConfigured ? [redisTier(redis)] : [] }),
    }),
  ],
  providers: [Cache, Invalidations, SharedTier],
  exports: [ManagerModule, Cache, Invalidations, SharedTier],
})
export class CacheModule {}
