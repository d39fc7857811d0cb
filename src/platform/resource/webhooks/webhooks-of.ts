import type { Provider, Type } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { getMetadataArgsStorage, type ObjectLiteral } from 'typeorm';
import type { Caller } from '../../http/caller.js';
import { StartError } from '../../start-error.js';
import { type ResourceDefinition, resourceToken } from '../definition.js';
import { CALLERS } from '../policy.js';
import type { Resource } from '../resource.js';
import { scopesOf } from '../scopes.js';
import { Deliveries } from './deliveries.js';
import { webhooksController } from './webhooks.controller.js';

/** The one scope of a user's lists, or null when they have all rows. */
function scopeOf<T extends ObjectLiteral>(definition: ResourceDefinition<T>, caller: Caller): string | null {
  const scopes = scopesOf(definition, caller);
  if (!scopes) return null;
  const [scope, ...others] = scopes;
  if (!scope || others.length > 0)
    throw new StartError(`${definition.entity.name} cannot have webhooks: a list must be narrowed to one value`);
  return scope;
}

/**
 * What a module has for a resource with webhooks: their routes, and a provider that has them delivered. A user's webhooks
 * get the changes of the user's lists.
 */
export function webhooksOf<T extends ObjectLiteral>(
  definition: ResourceDefinition<T>,
): { controller: Type; provider: Provider } {
  const { entity, name } = definition;
  const [{ name: of = '' } = {}] = getMetadataArgsStorage().filterTables(entity);
  const path = `${definition.path}/webhooks`;
  const holderOf = ({ caller }: FastifyRequest) => {
    const { id: ownerId } = caller as Caller;
    return { path, where: { of, ownerId }, values: { of, ownerId, scope: scopeOf(definition, caller as Caller) } };
  };
  const mayHave = (scope: string | null, owner: Pick<Caller, 'id' | 'role'>) => {
    const own = scopeOf(definition, { ...owner, sessionId: '' });
    return own === null || own === scope;
  };
  return {
    controller: webhooksController({ name, path: definition.path, holderOf }),
    provider: {
      provide: `${entity.name}Webhooks`,
      inject: [Deliveries, resourceToken(entity)],
      useFactory: (deliveries: Deliveries, { feed }: Resource<T>) => {
        if (!feed || !of)
          throw new StartError(`${entity.name} needs changes to have webhooks, and its table's name in @Entity()`);
        for (const caller of CALLERS) scopeOf(definition, caller);
        deliveries.add({ name: name.replaceAll(' ', '-'), feed, mayHave });
      },
    },
  };
}
