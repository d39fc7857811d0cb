import { type DynamicModule, Inject, Module, type Provider } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import type { ObjectLiteral } from 'typeorm';
import { CONFIG, type Config } from '../config.token.js';
import { Feeds } from '../feed/feeds.js';
import { StartError } from '../start-error.js';
import { type Entity, type ResourceDefinition, resourceToken } from './definition.js';
import { Resource } from './resource.js';
import { ResourceRepositories } from './resource-repositories.js';
import { RowChanges } from './row-changes.js';
import { SchemaCheck } from './schema-check.js';
import { WebhooksModule } from './webhooks/webhooks.module.js';
import { webhooksOf } from './webhooks/webhooks-of.js';

/** Injects the Resource that a module declares with ResourceModule.forFeature(). */
export const InjectResource = (entity: Entity<object>) => Inject(resourceToken(entity));

/** Provides the resources that a module declares, as TypeOrmModule.forFeature() provides repositories. */
@Module({})
export class ResourceModule {
  // biome-ignore lint/suspicious/noExplicitAny: a definition is of its own entity.
  static forFeature(definitions: ResourceDefinition<any>[]): DynamicModule {
    const entities = definitions.map(({ entity }) => entity);
    const providers = definitions.map(provide);
    const webhooks = definitions.filter((definition) => definition.webhooks).map(webhooksOf);
    return {
      module: ResourceModule,
      imports: [TypeOrmModule.forFeature(entities), ...(webhooks.length > 0 ? [WebhooksModule] : [])],
      controllers: webhooks.map(({ controller }) => controller),
      providers: [...providers, ...webhooks.map(({ provider }) => provider)],
      exports: [TypeOrmModule, ...providers],
    };
  }
}

function provide<T extends ObjectLiteral>(definition: ResourceDefinition<T>): Provider {
  return {
    provide: resourceToken(definition.entity),
    inject: [ResourceRepositories, SchemaCheck, RowChanges, CONFIG, Feeds],
    useFactory: (
      repositories: ResourceRepositories,
      check: SchemaCheck,
      changes: RowChanges,
      config: Config,
      feeds: Feeds,
    ) => {
      const { entity, policy, shown } = definition;
      if (!('id' in shown.shape)) throw new StartError(`${entity.name}.id must be shown: paths are made of it`);
      if (definition.isShared && policy.tags)
        throw new StartError(
          `${entity.name} cannot have isShared: its policy has tags, and Redis cannot drop rows by a tag`,
        );
      const repository = repositories.of(entity, { ...definition, beside: policy.by });
      check.add(definition, repository.table);
      changes.watch(definition);
      return new Resource(definition, repository, config, feeds);
    },
  };
}
