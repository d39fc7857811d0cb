import { Controller, Get, Global, Module } from '@nestjs/common';
import { APP_FILTER, APP_GUARD, NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { SkipThrottle, Throttle as ThrottleRoute } from '@nestjs/throttler';
import type { FastifyInstance } from 'fastify';
import { pino } from 'pino';
import { loadConfig } from '../../config.js';
import { Invalidations } from '../cache/invalidations.js';
import { CONFIG } from '../config.token.js';
import { HttpAdapter } from '../http/adapter.js';
import { ProblemFilter } from '../http/errors.js';
import { Background } from '../lifecycle/background.js';
import { Redis } from '../redis/redis.js';
import { CallerGuard } from './throttle.guard.js';
import { registerThrottle, Throttle } from './throttle.js';
import { ThrottleModule } from './throttle.module.js';

const config = loadConfig({ NODE_ENV: 'test', APP_SECRET: 'x'.repeat(32), RATE_LIMIT_REQUESTS: '3' });

/** Routes as a team would write them. */
@Controller('team')
class TeamController {
  @Get('plain')
  plain() {
    return {};
  }
  @Get('free/*')
  @SkipThrottle()
  free() {
    return {};
  }
  @Get(['tight/:id', 'narrow.path'])
  @ThrottleRoute({ default: { limit: 2, ttl: 30_000 } })
  tight() {
    return {};
  }
}

@Controller()
@ThrottleRoute({ default: { limit: 1, ttl: 1000 } })
class StrictController {
  @Get('strict')
  strict() {
    return {};
  }
  @Get('lenient')
  @SkipThrottle()
  lenient() {
    return {};
  }
}

@Global()
@Module({
  providers: [{ provide: CONFIG, useValue: config }, Redis, Background, Invalidations],
  exports: [CONFIG, Redis, Background, Invalidations],
})
class BaseModule {}

@Module({
  imports: [BaseModule, ThrottleModule],
  controllers: [TeamController, StrictController],
  providers: [
    { provide: APP_GUARD, useClass: CallerGuard },
    { provide: APP_FILTER, useClass: ProblemFilter },
  ],
})
class TeamModule {
  constructor({ free }: Throttle) {
    free.push(/^\/(team\/(free\/|tight\/|narrow\.path)|strict|lenient)/);
  }
}

let nest: NestFastifyApplication;
beforeEach(async () => {
  const adapter = new HttpAdapter(config, pino({ level: 'silent' }), (pipeline) => pipeline);
  nest = await NestFactory.create<NestFastifyApplication>(TeamModule, adapter, { logger: false, bodyParser: false });
  registerThrottle(adapter.getInstance<FastifyInstance>(), nest.get(Throttle));
  await nest.init();
});
afterEach(() => nest?.close());

/** Status and limits of several answers in a row. */
async function ask(url: string, times: number, headers = {}) {
  const answers = [];
  for (let i = 0; i < times; i++) {
    const { statusCode, headers: got } = await nest.inject({ url, headers });
    answers.push([statusCode, got['ratelimit-policy'], got.ratelimit]);
  }
  return answers;
}
const bad = { authorization: 'Bearer of-nothing' };

it('gives all plain routes one common limit', async () => {
  const policy = '"default";q=3;w=60';
  expect(await ask('/team/plain', 4)).toEqual([
    [200, policy, '"default";r=2;t=20'],
    [200, policy, '"default";r=1;t=20'],
    [200, policy, '"default";r=0;t=20'],
    [429, policy, '"default";r=0;t=20'],
  ]);
});

it('does not limit a route with @SkipThrottle, with or without a token', async () => {
  for (const url of ['/team/free/a', '/team/free/a/b?c=d', '/lenient']) {
    for (const headers of [{}, bad]) {
      expect(await ask(url, 5, headers)).toEqual(Array(5).fill([200, undefined, undefined]));
    }
  }
});

it('gives a route with @Throttle a limit of its own, for each caller', async () => {
  const policy = '"default";q=2;w=30';
  expect(await ask('/team/tight/7', 3)).toEqual([
    [200, policy, '"default";r=1;t=15'],
    [200, policy, '"default";r=0;t=15'],
    [429, policy, '"default";r=0;t=15'],
  ]);
  expect((await ask('/team/narrow.path?x=1', 1))[0]?.[0]).toBe(429);
  expect((await ask('/team/narrow-path', 1))[0]?.[0]).toBe(404);
  expect((await ask('/strict', 2)).map(([status]) => status)).toEqual([200, 429]);
  const refused = await nest.inject({ url: '/team/tight/8' });
  expect(refused.headers['retry-after']).toBe('15');
  expect(refused.json()).toMatchObject({ 'violated-policies': ['default'] });
});
