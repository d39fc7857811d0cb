import { Controller, Get, Req, Res } from '@nestjs/common';
import { ApiProduces, ApiTags } from '@nestjs/swagger';
import { SkipThrottle } from '@nestjs/throttler';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { AggregatorRegistry, Registry, type RegistryContentType } from 'prom-client';
import { z } from 'zod';
import { isTooLong, preferred } from '../http/accept.js';
import { Anonymous } from '../http/caller.js';
import { Operation } from '../http/operation.js';
import { allMetrics, type Figures } from './all-workers.js';
import { type Exemplar, httpMetrics } from './http-metrics.js';

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
    description: 'Prometheus text, or OpenMetrics if Accept prefers it: with exemplars, if requests are traced.',
    answer: 'The metrics.',
    body: z.string(),
  })
  async metrics(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    const type = typeFor(request.headers.accept);
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
  if (isOpen && httpMetrics.exemplarOf) restoreExemplars(registry, figures);
  return registry.metrics();
}

/** Versions do not matter, since there is one of each format. Prometheus text is for all who do not prefer the other. */
function typeFor(given = ''): RegistryContentType {
  const accept = isTooLong(given) ? undefined : given.replace(/;\s*(?:version|escaping|charset)=[^;,]*/g, '');
  const isOpen = preferred(accept, ['text/plain', OPEN]) === OPEN;
  return isOpen ? Registry.OPENMETRICS_CONTENT_TYPE : Registry.PROMETHEUS_CONTENT_TYPE;
}
const OPEN = 'application/openmetrics-text';

type Sample = Figures[number]['values'][number] & { metricName?: string; exemplar?: Exemplar | undefined };
const keyOf = ({ metricName, labels }: Sample) => metricName + JSON.stringify(labels);

/** Gives each bucket an exemplar again, which the aggregation of several workers leaves out. */
function restoreExemplars(registry: Registry<RegistryContentType>, figures: Figures[]): void {
  const all: Sample[] = figures.flat().flatMap(({ values }) => values);
  const found = new Map(all.filter(({ exemplar }) => exemplar).map((one) => [keyOf(one), one.exemplar]));
  const metrics = registry.getMetricsAsArray() as unknown as { values: Sample[] }[];
  for (const one of metrics.flatMap(({ values }) => values)) one.exemplar = found.get(keyOf(one));
}

/** In OpenMetrics only the samples of a counter end in _total, which prom-client adds itself. */
const withoutTotal = (figures: Figures): Figures =>
  figures.map((one) => (String(one.type) === 'counter' ? { ...one, name: one.name.replace(/_total$/, '') } : one));
