// The usual way: NestJS on Fastify with its stock throttler, stock cache interceptor over memory and Redis, a TypeORM
// repository, a prom-client interceptor and Fastify's logger. With CACHE=off, the same without the cache.
import 'reflect-metadata';
import { CacheInterceptor, CacheModule } from '@nestjs/cache-manager';
import type { CallHandler, CanActivate, ExecutionContext, NestInterceptor } from '@nestjs/common';
import { Body, Controller, Get, Injectable, Module, NotFoundException, Param, Post, Query } from '@nestjs/common';
import { APP_GUARD, APP_INTERCEPTOR, NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { ThrottlerGuard, ThrottlerModule } from '@nestjs/throttler';
import { InjectRepository, TypeOrmModule } from '@nestjs/typeorm';
import { KeyvAdapter } from 'cache-manager';
import { redisStore } from 'cache-manager-redis-yet';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { Keyv } from 'keyv';
import { Histogram, register } from 'prom-client';
import { tap } from 'rxjs';
import { Column, CreateDateColumn, Entity, PrimaryColumn, Repository, UpdateDateColumn } from 'typeorm';

const { PORT, DATABASE_URL, REDIS_URL, JWKS, CACHE } = process.env;

@Entity('records')
class Reading {
  @PrimaryColumn({ type: 'uuid', default: () => 'uuidv7()' })
  id!: string;

  @Column({ type: 'jsonb' })
  data!: object;

  @Column({ name: 'occurred_at', type: 'timestamptz', precision: 3, default: () => 'now()' })
  occurredAt!: Date;

  @Column({ type: 'integer', default: 1 })
  version!: number;

  @CreateDateColumn({ name: 'created_at', type: 'timestamptz', precision: 3 })
  createdAt!: Date;

  @UpdateDateColumn({ name: 'updated_at', type: 'timestamptz', precision: 3 })
  updatedAt!: Date;

  @Column({ name: 'collection_id', type: 'uuid', select: false })
  collectionId!: string;
}

@Controller()
class ReadingsController {
  constructor(@InjectRepository(Reading) private readonly readings: Repository<Reading>) {}

  @Get('records/:id')
  async get(@Param('id') id: string) {
    const reading = await this.readings.findOneBy({ id });
    if (!reading) throw new NotFoundException();
    return reading;
  }

  @Get('collections/:id/records')
  async list(@Param('id') id: string, @Query('to') to: string) {
    const items = await this.readings
      .createQueryBuilder('r')
      .where('r.collectionId = :id AND r.occurredAt < :to', { id, to })
      .orderBy({ 'r.occurredAt': 'DESC', 'r.id': 'DESC' })
      .take(20)
      .getMany();
    return { items };
  }

  @Post('collections/:id/records')
  async create(@Param('id') collectionId: string, @Body() { data }: { data: object }) {
    const { collectionId: _, ...reading } = await this.readings.save(this.readings.create({ collectionId, data }));
    return reading;
  }

  @Post('collections/:id/records/bulk')
  async bulk(@Param('id') collectionId: string, @Body() items: { data: object; occurredAt: string }[]) {
    for (let from = 0; from < items.length; from += 1000) {
      await this.readings.insert(items.slice(from, from + 1000).map((item) => ({ ...item, collectionId })));
    }
    return { inserted: items.length };
  }
}

/** Who comes with a token must come with a good one. */
@Injectable()
class TokenGuard implements CanActivate {
  private readonly keys = createLocalJWKSet(JSON.parse(JWKS ?? '{"keys":[]}'));

  async canActivate(context: ExecutionContext) {
    const { authorization } = context.switchToHttp().getRequest().headers;
    if (authorization) await jwtVerify(authorization.slice('Bearer '.length), this.keys);
    return true;
  }
}

@Injectable()
class MetricsInterceptor implements NestInterceptor {
  private readonly histogram = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'Duration of HTTP requests.',
    labelNames: ['method', 'route', 'status'],
  });

  intercept(context: ExecutionContext, next: CallHandler) {
    const [request, reply] = [context.switchToHttp().getRequest(), context.switchToHttp().getResponse()];
    const labels = { method: request.method, route: request.routeOptions.url };
    const stop = this.histogram.startTimer(labels);
    return next.handle().pipe(tap(() => stop({ status: reply.statusCode })));
  }
}

@Controller('metrics')
class MetricsController {
  @Get()
  metrics() {
    return register.metrics();
  }
}

const cache = CacheModule.registerAsync({
  useFactory: async () => ({
    ttl: 60_000,
    stores: [new Keyv(), new Keyv(new KeyvAdapter(await redisStore({ url: REDIS_URL })))],
  }),
});
const throttler = ThrottlerModule.forRoot([{ ttl: 60_000, limit: 1_000_000_000 }]);
const database = TypeOrmModule.forRoot({ type: 'postgres', url: DATABASE_URL, entities: [Reading] });

@Module({
  imports: [throttler, cache, database, TypeOrmModule.forFeature([Reading])],
  controllers: [ReadingsController, MetricsController],
  providers: [
    { provide: APP_GUARD, useClass: ThrottlerGuard },
    { provide: APP_GUARD, useClass: TokenGuard },
    { provide: APP_INTERCEPTOR, useClass: MetricsInterceptor },
    ...(CACHE === 'off' ? [] : [{ provide: APP_INTERCEPTOR, useClass: CacheInterceptor }]),
  ],
})
class AppModule {}

const adapter = new FastifyAdapter({ logger: true, bodyLimit: 100_000_000 });
const app = await NestFactory.create<NestFastifyApplication>(AppModule, adapter);
await app.listen({ port: Number(PORT), host: '127.0.0.1', backlog: 65_535 });
