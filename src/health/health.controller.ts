import { Controller, Get } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { HealthCheckService, type HealthIndicatorFunction, type HealthIndicatorResult } from '@nestjs/terminus';
import { SkipThrottle } from '@nestjs/throttler';
import { z } from 'zod';
import { Answer } from '../platform/http/answer.js';
import { Anyone } from '../platform/http/caller.js';
import { Operation } from '../platform/http/operation.js';
import { unavailable } from '../platform/http/problem.js';
import { HealthIndicators } from './health.indicators.js';

const healthSchema = z
  .object({
    status: z.enum(['ok', 'degraded']),
    checks: z.record(z.string(), z.looseObject({ status: z.string() })),
  })
  .meta({ id: 'Health' });

const HEADERS = { 'cache-control': 'no-store' };

/** What an orchestrator asks: is it alive, may it have traffic, has it started. */
@ApiTags('operations')
@SkipThrottle()
@Controller('health')
export class HealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly indicators: HealthIndicators,
  ) {}

  @Get('live')
  @Anyone()
  @Operation({
    id: 'getLiveness',
    summary: 'Can the process answer at all',
    answer: 'It can.',
    body: healthSchema,
  })
  live(): Answer {
    return new Answer({ status: 'ok', checks: {} }, { headers: HEADERS });
  }

  @Get('ready')
  @Anyone()
  @Operation({
    id: 'getReadiness',
    summary: 'May it have traffic',
    answer: 'It may.',
    body: healthSchema,
    problems: ['temporary-reduced-capacity'],
  })
  ready(): Promise<Answer> {
    return this.answer([
      () => this.indicators.lifecycle(),
      () => this.indicators.postgres(),
      () => this.indicators.schema(),
    ]);
  }

  @Get('startup')
  @Anyone()
  @Operation({
    id: 'getStartup',
    summary: 'Has it started, with the schema that it needs',
    answer: 'It has.',
    body: healthSchema,
    problems: ['temporary-reduced-capacity'],
  })
  startup(): Promise<Answer> {
    return this.answer([() => this.indicators.schema()]);
  }

  private async answer(indicators: HealthIndicatorFunction[]): Promise<Answer> {
    const { status, details } = await this.check(indicators);
    if (status === 'ok') return new Answer({ status, checks: details }, { headers: HEADERS });
    const failed = Object.keys(details).filter((name) => details[name]?.status !== 'up');
    const problem = unavailable(`Not ready: ${failed.join(', ')}.`);
    Object.assign(problem.members, { checks: details });
    throw problem;
  }

  /** Terminus reports a failed check by an exception that carries the result. */
  private async check(
    indicators: HealthIndicatorFunction[],
  ): Promise<{ status: string; details: HealthIndicatorResult }> {
    try {
      return await this.health.check(indicators);
    } catch (error) {
      const result = (error as { getResponse?(): unknown }).getResponse?.();
      if (result) return result as { status: string; details: HealthIndicatorResult };
      throw error;
    }
  }
}
