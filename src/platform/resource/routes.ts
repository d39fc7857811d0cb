import { CacheKey } from '@nestjs/cache-manager';
import {
  applyDecorators,
  createParamDecorator,
  Delete,
  type ExecutionContext,
  Get,
  Patch,
  Post,
  Put,
  UseGuards,
} from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import { ApiBody, ApiConsumes, ApiHeader } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { AtEdge } from '../edge/at-edge.js';
import { EVENT_STREAM } from '../feed/asked.js';
import { positionText } from '../feed/position.js';
import { NDJSON } from '../http/body.js';
import type { Caller } from '../http/caller.js';
import { Operation } from '../http/operation.js';
import { Priority } from '../overload/priority.js';
import { StartError } from '../start-error.js';
import { ChangeGuard } from './change.guard.js';
import { described, type Entity, pathOf, resourceId, titled } from './definition.js';
import { ApiIdempotencyKey } from './idempotency.js';
import { pageOf } from './page.js';
import type { Change } from './resource.js';
import { bulkReportSchema } from './upload/upload.schema.js';

/** The parts of a resource that its routes describe. */
interface Described {
  name: string;
  path: string;
  shown: z.ZodObject;
  input: z.ZodObject;
  entity: Entity<object>;
}

const article = ({ name }: Described) => (/^[aeiou]/.test(name) ? `an ${name}` : `a ${name}`);

/** `POST` of a new one, with an optional Idempotency-Key. */
export const CreateRoute = (of: Described) =>
  applyDecorators(
    Post(),
    ApiIdempotencyKey(),
    Operation(`create${titled(of)}`, `Create ${article(of)}`, {
      answer: `The ${of.name}.`,
      body: of.shown,
      status: 201,
      problems: ['conflict'],
    }),
  );

/** `POST` of many in one upload, one a line or as an array, with an optional Idempotency-Key. */
export const BulkRoute = (of: Pick<Described, 'name' | 'input'>, path = 'bulk') =>
  applyDecorators(
    Post(path),
    Priority('bulk'),
    RouteConfig({ streamed: true }),
    ApiConsumes('application/json', NDJSON),
    ApiBody({ required: true, schema: described(z.array(of.input)) }),
    ApiIdempotencyKey(),
    Operation(`create${titled(of)}s`, `Add many ${of.name}s`, {
      description: `Accepts one ${of.name} a line (${NDJSON}) or a JSON array, and stores ${of.name}s in batches while it reads. Invalid lines are reported; the valid ones are stored, unless \`atomic\` is true.`,
      answer: `How many ${of.name}s were stored, and the mistakes in the others.`,
      body: bulkReportSchema,
      problems: ['unprocessable-content'],
    }),
  );

/** `GET` of all of them as a stream, one a line. */
export const ExportRoute = (of: Pick<Described, 'name'>, path = 'export') =>
  applyDecorators(
    Get(path),
    Priority('bulk'),
    RouteConfig({ produces: NDJSON }),
    Operation(`export${titled(of)}s`, `Stream all matching ${of.name}s, one a line`, {
      answer: `The ${of.name}s.`,
      body: z.string(),
      type: NDJSON,
    }),
  );

/**
 * `GET` of what changes: a stream of server-sent events, or lines.
 * @throws StartError for a resource that does not declare its changes
 */
export function ChangesRoute(of: { name: string; entity?: { name: string }; changes?: string }, path = 'changes') {
  if (of.entity && !of.changes)
    throw new StartError(`${of.entity.name} has a ChangesRoute, but does not declare changes by a column`);
  return applyDecorators(
    Get(path),
    Priority('listen'),
    RouteConfig({ produces: [NDJSON, EVENT_STREAM] }),
    ApiHeader({
      name: 'last-event-id',
      description: 'The `id` to go on from, as EventSource sends it.',
      schema: described(positionText),
    }),
    Operation(`watch${titled(of)}s`, `Listen to changes of ${of.name}s`, {
      description: CHANGES,
      answer: 'What has changed, one event each.',
      body: z.string(),
      type: [NDJSON, EVENT_STREAM],
      headers: ['Link', 'X-Accel-Buffering'],
    }),
  );
}

const CHANGES = `As \`${EVENT_STREAM}\`, a stream that stays open. As \`${NDJSON}\`, what has changed since \`after\`, one a line, with a \`Link\` to what comes next. Events: \`created\`, \`updated\` and \`deleted\` with the item; \`bulk\` for many new ones at once, with their \`count\` and the \`first\` and \`last\` id; \`reset\` when changes were missed, so that everything must be read again. A change may come twice, but none is left out.`;

/** `GET` of a page of them, answered at the edge. */
export const ListRoute = (of: Described) =>
  applyDecorators(
    Get(),
    AtEdge(),
    Operation(`list${titled(of)}s`, `List every ${of.name} that you may read, newest first`, {
      answer: 'A page of the list.',
      body: pageOf(`${titled(of)}Page`, of.shown),
    }),
  );

/** `GET` of one, cached until it changes, and answered at the edge. */
export const ReadRoute = (of: Described) =>
  applyDecorators(
    Get(':id'),
    Kept(of),
    Operation(`get${titled(of)}`, `Read ${article(of)}`, { answer: `The ${of.name}.`, body: of.shown }),
  );

const changed = (of: Described) => ({
  answer: `The ${of.name} as it is now.`,
  body: of.shown,
  problems: ['conflict' as const],
});

/** `PUT` of an existing one, with If-Match. */
export const ReplaceRoute = (of: Described) =>
  applyDecorators(
    Put(':id'),
    UseGuards(ChangeGuard(of.entity)),
    IfMatch(),
    Operation(`replace${titled(of)}`, `Replace ${article(of)}`, changed(of)),
  );

/** `PATCH` of one with a merge patch and If-Match. */
export const PatchRoute = (of: Described) =>
  applyDecorators(
    Patch(':id'),
    UseGuards(ChangeGuard(of.entity)),
    IfMatch(),
    ApiConsumes('application/merge-patch+json'),
    Operation(`patch${titled(of)}`, `Change ${article(of)}`, changed(of)),
  );

/** `DELETE` of one, with If-Match. */
export const RemoveRoute = (of: Described) =>
  applyDecorators(
    Delete(':id'),
    IfMatch(),
    Operation(`delete${titled(of)}`, `Delete ${article(of)}`, { answer: `The ${of.name} is gone.` }),
  );

/** Caches the answers of a route that reads the row with the id in its path, until the row changes. */
export const Kept = (of: { path: string }) =>
  CacheKey((context) => {
    const { id } = context.switchToHttp().getRequest().params;
    // A factory may return undefined to cache nothing, though its type does not say so.
    return (resourceId.safeParse(id).success ? pathOf(of, id) : undefined) as string;
  });

const IfMatch = () => ApiHeader({ name: 'if-match', required: true });

/** Who changes a row, and the version of If-Match. */
export const CurrentChange = createParamDecorator((_: unknown, context: ExecutionContext): Change => {
  const { caller, headers } = context.switchToHttp().getRequest<FastifyRequest>();
  return { caller: caller as Caller, ifMatch: headers['if-match'] };
});
