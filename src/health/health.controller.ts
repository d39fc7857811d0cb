import { Controller, Get, type OnApplicationBootstrap } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { type HealthIndicatorResult, HealthIndicatorService } from '@nestjs/terminus';
import { SkipThrottle } from '@nestjs/throttler';
import { z } from 'zod';
import { Database } from '../platform/database/database.js';
import { PrimaryWatch } from '../platform/database/primary-watch.js';
import { Answer } from '../platform/http/answer.js';
import { Anonymous } from '../platform/http/caller.js';
import { Operation } from '../platform/http/operation.js';
import { unavailable } from '../platform/http/problem.js';
import { Lifecycle } from '../platform/lifecycle/lifecycle.js';
import { Redis } from '../platform/redis/redis.js';

const checkSchema = z.looseObject({
  status: z.enum(['up', 'down']),
  message: z.string().optional().meta({ description: 'What is wrong with it.' }),
});
const healthSchema = z
  .object({
    status: z
      .enum(['ok', 'degraded'])
      .meta({ description: '`degraded` when it goes on without something that it uses.' }),
    checks: z.record(z.string(), checkSchema).meta({ description: 'What was looked at, by name.' }),
  })
  .meta({ id: 'Health' });

const READINESS =
  '503 while it starts or stops, and when other replicas can use PostgreSQL and this one cannot. When none can, or none is ' +
  'known to, it is 200 with `degraded`: what is kept can still be read, and what needs PostgreSQL is answered with 503. ' +
  'Without Redis it is `degraded` too: all is done, only slower.';

const TIMEOUT_MS = 1500;
const DATABASE = 'postgresql';
const ACCELERATOR = 'redis';

/** Errors of PostgreSQL and its driver belong in the log, not in a public answer. */
const says = (failure: string) => (): never => {
  throw new Error(failure);
};

/** The probes of an orchestrator: liveness, readiness and startup. */
@ApiTags('operations')
@SkipThrottle()
@Controller('health')
export class HealthController implements OnApplicationBootstrap {
  private schemaIsCurrent = false;

  constructor(
    private readonly indicators: HealthIndicatorService,
    private readonly database: Database,
    private readonly lifecycle: Lifecycle,
    private readonly redis: Redis,
    private readonly primary: PrimaryWatch,
  ) {}

  /** Checks the schema at the start, so that the result is known even if PostgreSQL is lost before the first probe. */
  async onApplicationBootstrap(): Promise<void> {
    await this.schema();
  }

  @Get('live')
  @Anonymous()
  @Operation('getLiveness', 'Can the process answer at all', { answer: 'It can.', body: healthSchema })
  live(): Promise<Answer> {
    return this.answer();
  }

  @Get('ready')
  @Anonymous()
  @Operation('getReadiness', 'May it have traffic', { description: READINESS, answer: 'It may.', body: healthSchema })
  ready(): Promise<Answer> {
    const { isServing, isDraining } = this.lifecycle;
    const own = this.indicators.check('process');
    return this.answer(
      isServing ? own.up() : own.down(isDraining ? 'is stopping' : 'is starting'),
      this.postgres(),
      this.schema(),
      ...this.accelerator(),
    );
  }

  @Get('startup')
  @Anonymous()
  @Operation('getStartup', 'Has it started, with the schema that it needs', { answer: 'It has.', body: healthSchema })
  startup(): Promise<Answer> {
    return this.answer(this.schema());
  }

  private postgres() {
    const indicator = this.indicators.check(DATABASE);
    return this.primary.flaw ? indicator.down(this.primary.flaw) : indicator.up();
  }

  /** Redis is an accelerator: without it every request is still served, only slower. */
  private accelerator() {
    if (!this.redis.isConfigured) return [];
    const indicator = this.indicators.check(ACCELERATOR);
    return [this.redis.isDown ? indicator.down('is done without') : indicator.up()];
  }

  /** Remembers a current schema, since a newer one must not stop a running process. */
  private schema(): HealthIndicatorResult | PromiseLike<HealthIndicatorResult> {
    const indicator = this.indicators.check('schema');
    if (this.schemaIsCurrent) return indicator.up();
    return indicator
      .attempt(async () => {
        this.schemaIsCurrent = await this.database.hasCurrentSchema().catch(says('cannot be read'));
        if (!this.schemaIsCurrent) throw new Error('is older than this build needs: run the migrations');
      })
      .withTimeout(TIMEOUT_MS);
  }

  private async answer(...checks: (HealthIndicatorResult | PromiseLike<HealthIndicatorResult>)[]): Promise<Answer> {
    const details: HealthIndicatorResult = Object.assign({}, ...(await Promise.all(checks)));
    const down = Object.keys(details).filter((name) => details[name]?.status !== 'up');
    // Without PostgreSQL any replica can still serve cached answers, so only one that alone cannot reach it is not ready.
    const isBorne = (name: string) => name === ACCELERATOR || (name === DATABASE && !this.primary.isAlone);
    const failed = down.filter((name) => !isBorne(name));
    if (failed.length === 0) {
      const status = down.length === 0 ? 'ok' : 'degraded';
      return new Answer({ status, checks: details }, { headers: { 'cache-control': 'no-store' } });
    }
    const problem = unavailable(`Not ready: ${failed.join(', ')}.`);
    Object.assign(problem.members, { checks: details });
    throw problem;
  }
}
