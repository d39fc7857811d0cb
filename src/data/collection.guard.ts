import type { CanActivate, ExecutionContext } from '@nestjs/common';
import { applyDecorators, createParamDecorator, Injectable, SetMetadata, UseGuards } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { ApiParam } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import type { Entry } from '../platform/cache/entry.js';
import { Anyone, type Caller } from '../platform/http/caller.js';
import { ValidationPipe } from '../platform/http/validation.js';
import type { Collection } from './collection.entity.js';
import { COLLECTION, collectionName } from './collection.schema.js';
import { CollectionsService, type Found } from './collections.service.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** At the edge it may be a promise, even of null, while the guard waits for it. */
    collection?: Collection | Promise<Found>;
  }
}

const RIGHT = Symbol('RIGHT');
type Right = 'read' | 'write';

/** Checks whether the caller may read or write the collection, before its body is read. */
@Injectable()
export class CollectionGuard implements CanActivate {
  private readonly check = new ValidationPipe();

  constructor(
    private readonly reflector: Reflector,
    private readonly collections: CollectionsService,
  ) {}

  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const { collection: name } = request.params as { collection: string };
    const parameter = { type: 'param', data: 'collection', schema: collectionName } as const;
    // Rejects with the mistake in the name.
    if (!COLLECTION.test(name)) return this.check.transform(name, parameter).then(() => false);
    const go = (entry: Entry<Found>) => {
      request.madeOf = entry;
      request.collection = this.admit(context, request.caller, entry.value);
      return true;
    };
    const found = this.collections.find(name);
    if (!(found instanceof Promise)) return go(found);
    request.collection = found.then(({ value }) => value);
    // Those who await it get the error.
    request.collection.catch(() => {});
    return found.then(go);
  }

  /** Checks a long request again. */
  async recheck(context: ExecutionContext): Promise<void> {
    const request = context.getArgByIndex<FastifyRequest>(0);
    const [{ caller }, collection] = [request, await request.collection];
    if (!collection) return;
    const { value } = await this.collections.find(collection.name);
    // A new collection may have taken the name.
    this.admit(context, caller, value?.id === collection.id ? value : null);
  }

  private admit(context: ExecutionContext, caller: Caller | undefined, found: Found): Collection {
    const mayWrite = this.reflector.get<Right>(RIGHT, context.getHandler()) === 'write';
    return mayWrite ? this.collections.forWriting(caller as Caller, found) : this.collections.forReading(caller, found);
  }
}

const guarded = (right: Right) =>
  applyDecorators(
    SetMetadata(RIGHT, right),
    UseGuards(CollectionGuard),
    ApiParam({
      name: 'collection',
      description: 'Name of the collection.',
      schema: { type: 'string', pattern: COLLECTION.source, examples: ['flights'] } as object,
    }),
  );

/** Opens the route to callers who may read the collection in its path. */
export const ForReaders = () => applyDecorators(Anyone(), guarded('read'));

/** Opens the route to callers who may write to the collection in its path. */
export const ForWriters = () => guarded('write');

/** The collection in the path, as read by the guard. */
export const CurrentCollection = createParamDecorator(
  (_: unknown, context: ExecutionContext) => context.switchToHttp().getRequest<FastifyRequest>().collection,
);
