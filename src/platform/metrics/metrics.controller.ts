import { Controller, Get, Req, Res } from '@nestjs/common';
import { ApiProduces, ApiTags } from '@nestjs/swagger';
import { SkipThrottle } from '@nestjs/throttler';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type OpenMetricsContentType, Registry, register } from 'prom-client';
import { z } from 'zod';
import { Anyone } from '../http/caller.js';
import { Operation } from '../http/operation.js';

/** The process' metrics, as Prometheus text or, to who asks for it, as OpenMetrics. */
@ApiTags('operations')
@SkipThrottle()
@Controller()
export class MetricsController {
  @Get()
  @Anyone()
  @ApiProduces('text/plain', 'application/openmetrics-text')
  @Operation('getMetrics', 'Figures for Prometheus', {
    description: 'Prometheus text, or OpenMetrics for who asks for it in Accept.',
    answer: 'The figures.',
    body: z.string(),
  })
  async metrics(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    const registry = request.headers.accept?.includes('application/openmetrics-text') ? asOpenMetrics() : register;
    await reply.header('content-type', registry.contentType).send(await registry.metrics());
  }
}

/** The same metrics in a registry that writes the other format. */
function asOpenMetrics(): Registry<OpenMetricsContentType> {
  const registry = new Registry<OpenMetricsContentType>();
  registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  // It renames counters as it writes them: on a view of each, so that the other format keeps its names.
  for (const metric of register.getMetricsAsArray()) registry.registerMetric(Object.create(metric));
  return registry;
}
