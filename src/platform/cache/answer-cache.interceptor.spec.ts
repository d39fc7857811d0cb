import { CACHE_MANAGER, CacheKey } from '@nestjs/cache-manager';
import { Controller, Get, Module, Post, UseInterceptors } from '@nestjs/common';
import { INTERCEPTORS_METADATA } from '@nestjs/common/constants.js';
import { DiscoveryModule, NestFactory } from '@nestjs/core';
import { DeclaredRoutes } from '../http/declared-routes.js';
import { AnswerCacheInterceptor } from './answer-cache.interceptor.js';
import { Cache } from './cache.js';

class Own {
  intercept(_: unknown, next: { handle(): unknown }) {
    return next.handle();
  }
}

@Controller('orders')
class Orders {
  @Get(':id')
  @CacheKey('order')
  @UseInterceptors(Own)
  get() {}

  @Get()
  list() {}

  @Post()
  @UseInterceptors(Own)
  create() {}
}

const unused = [Cache, CACHE_MANAGER].map((provide) => ({ provide, useValue: {} }));

@Module({
  imports: [DiscoveryModule],
  controllers: [Orders],
  providers: [DeclaredRoutes, AnswerCacheInterceptor, ...unused],
})
class Shop {}

const interceptorsOf = (name: 'get' | 'list' | 'create') =>
  Reflect.getMetadata(INTERCEPTORS_METADATA, Orders.prototype[name]);

it('comes before the other interceptors of a route with @CacheKey, and is on no other route', async () => {
  // A process that starts the app twice uses the latest interceptor.
  for (let start = 0; start < 2; start++) {
    const nest = await NestFactory.createApplicationContext(Shop, { logger: false });
    expect(interceptorsOf('get')).toEqual([nest.get(AnswerCacheInterceptor), Own]);
    await nest.close();
  }
  expect(interceptorsOf('list')).toBeUndefined();
  expect(interceptorsOf('create')).toEqual([Own]);
});
