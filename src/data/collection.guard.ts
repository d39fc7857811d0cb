import {
  applyDecorators,
  type CanActivate,
  createParamDecorator,
  type ExecutionContext,
  Injectable,
  SetMetadata,
  UseGuards,
} from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { ApiParam } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import type { Entry } from '../platform/cache/cache.js';
import { Anyone, type Caller } from '../platform/http/caller.js';
import { invalid } from '../platform/http/problem.js';
import { toMistakes } from '../platform/http/validation.js';
import type { Collection } from './collection.entity.js';
import { collectionName } from './collection.schema.js';
import { CollectionsService } from './collections.service.js';

declare module 'fastify' {
  interface FastifyRequest {
    collection?: Collection;
  }
}

const RIGHT = Symbol('RIGHT');
type Right = 'read' | 'write';

/** Decides who may read or write a collection before anything is read or written, and before a body is looked at. */
@Injectable()
export class CollectionGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    private readonly collections: CollectionsService,
  ) {}

  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const name = parseName((request.params as { collection: unknown }).collection);
    const mayWrite = this.reflector.get<Right>(RIGHT, context.getHandler()) === 'write';
    const go = ({ value }: Entry<Collection | null>) => {
      request.collection = mayWrite
        ? this.collections.forWriting(request.caller as Caller, value)
        : this.collections.forReading(request.caller, value);
      return true;
    };
    const found = this.collections.find(name);
    return found instanceof Promise ? found.then(go) : go(found);
  }
}

function parseName(value: unknown): string {
  const name = collectionName.safeParse(value);
  if (name.success) return name.data;
  throw invalid(
    'A parameter is not valid.',
    toMistakes(name.error.issues).map(({ detail }) => ({ pointer: 'collection', detail })),
  );
}

const guarded = (right: Right) =>
  applyDecorators(
    SetMetadata(RIGHT, right),
    UseGuards(CollectionGuard),
    ApiParam({
      name: 'collection',
      schema: { type: 'string', pattern: '^[a-z][a-z0-9-]{0,62}$' },
      example: 'flights',
    }),
  );

/** The route is for who may read the collection in its path. */
export const ForReaders = () => applyDecorators(Anyone(), guarded('read'));

/** The route is for who may write to the collection in its path. */
export const ForWriters = () => guarded('write');

/** The collection in the path, as the guard found it. */
export const CurrentCollection = createParamDecorator(
  (_: unknown, context: ExecutionContext) => context.switchToHttp().getRequest<FastifyRequest>().collection,
);
