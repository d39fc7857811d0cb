import { Controller, Get, ServiceUnavailableException } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { type HealthCheckResult, HealthCheckService, type HealthIndicatorFunction } from '@nestjs/terminus';
import { SkipThrottle } from '@nestjs/throttler';
import { z } from 'zod';
import { Answer } from '../platform/http/answer.js';
import { Anyone } from '../platform/http/caller.js';
import { Operation } from '../platform/http/operation.js';
import { unavailable } from '../platform/http/problem.js';
import { HealthIndicators } from './health.indicators.js';

const healthSchema = z
  .object({ status: z.enum(['ok', 'degraded']), checks: z.record(z.string(), z.looseObject({ status: z.string() })) })
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
  @Operation('getLiveness', 'Can the process answer at all', { answer: 'It can.', body: healthSchema })
  live(): Answer {
    return new Answer({ status: 'ok', checks: {} }, { headers: HEADERS });
  }

  @Get('ready')
  @Anyone()
  @Operation('getReadiness', 'May it have traffic', { answer: 'It may.', body: healthSchema })
  ready(): Promise<Answer> {
    const { indicators } = this;
    return this.answer([() => indicators.lifecycle(), () => indicators.postgres(), () => indicators.schema()]);
  }

  @Get('startup')
  @Anyone()
  @Operation('getStartup', 'Has it started, with the schema that it needs', { answer: 'It has.', body: healthSchema })
  startup(): Promise<Answer> {
    return this.answer([() => this.indicators.schema()]);
  }

  private async answer(indicators: HealthIndicatorFunction[]): Promise<Answer> {
    // Terminus reports a failed check by an exception that carries the result.
    const { status, details } = await this.health.check(indicators).catch((error: unknown) => {
      if (error instanceof ServiceUnavailableException) return error.getResponse() as HealthCheckResult;
      throw error;
    });
    if (status === 'ok') return new Answer({ status, checks: details }, { headers: HEADERS });
    const failed = Object.keys(details).filter((name) => details[name]?.status !== 'up');
    const problem = unavailable(`Not ready: ${failed.join(', ')}.`);
    Object.assign(problem.members, { checks: details });
    throw problem;
  }
}
