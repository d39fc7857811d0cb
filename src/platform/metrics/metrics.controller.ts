import { Controller, Get, Req, Res } from '@nestjs/common';
import { ApiProduces, ApiTags } from '@nestjs/swagger';
import { SkipThrottle } from '@nestjs/throttler';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { AggregatorRegistry, Registry, type RegistryContentType } from 'prom-client';
import { z } from 'zod';
import { Anonymous } from '../http/caller.js';
import { Operation } from '../http/operation.js';
import { allMetrics, type Figures } from './all-workers.js';

/** The metrics of this process, or of all its workers together, as Prometheus text or OpenMetrics. */
@ApiTags('operations')
@SkipThrottle()
@Controller()
export class MetricsController {
  /** Concurrent requests share one text. */
  private readonly underWay = new Map<RegistryContentType, Promise<string>>();

  @Get()
  @Anonymous()
  @ApiProduces('text/plain', 'application/openmetrics-text')
  @Operation('getMetrics', 'Metrics for Prometheus', {
    description: 'Prometheus text, or OpenMetrics if Accept asks for it.',
    answer: 'The metrics.',
    body: z.string(),
  })
  async metrics(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    const isOpen = request.headers.accept?.includes('application/openmetrics-text');
    const type = isOpen ? Registry.OPENMETRICS_CONTENT_TYPE : Registry.PROMETHEUS_CONTENT_TYPE;
    await reply.header('content-type', type).send(await this.textOf(type));
  }

  private textOf(type: RegistryContentType): Promise<string> {
    const underWay = this.underWay.get(type);
    if (underWay) return underWay;
    const text = makeText(type).finally(() => this.underWay.delete(type));
    this.underWay.set(type, text);
    return text;
  }
}

async function makeText(type: RegistryContentType): Promise<string> {
  const figures = await allMetrics();
  const isOpen = type === Registry.OPENMETRICS_CONTENT_TYPE;
  const registry = AggregatorRegistry.aggregate<RegistryContentType>(isOpen ? figures.map(withoutTotal) : figures);
  registry.setContentType(type);
  return registry.metrics();
}

/** In OpenMetrics only the samples of a counter end in _total, which prom-client adds itself. */
const withoutTotal = (figures: Figures): Figures =>
  figures.map((one) => (String(one.type) === 'counter' ? { ...one, name: one.name.replace(/_total$/, '') } : one));
