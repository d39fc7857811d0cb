import { type DynamicModule, Inject, Module, type Provider } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import type { ObjectLiteral } from 'typeorm';
import { CONFIG, type Config } from '../config.token.js';
import { type Entity, type ResourceDefinition, resourceToken } from './definition.js';
import { IndexCheck } from './index-check.js';
import { Resource } from './resource.js';
import { ResourceRepositories } from './resource-repositories.js';
import { RowChanges } from './row-changes.js';

/** Injects the Resource that a module declares with ResourceModule.forFeature(). */
export const InjectResource = (entity: Entity<object>) => Inject(resourceToken(entity));

/** Gives a module the resources that it declares, as TypeOrmModule.forFeature() does repositories. */
@Module({})
export class ResourceModule {
  // biome-ignore lint/suspicious/noExplicitAny: a definition is of its own entity.
  static forFeature(definitions: ResourceDefinition<any>[]): DynamicModule {
    const entities = definitions.map(({ entity }) => entity);
    const providers = definitions.map(provide);
    return {
      module: ResourceModule,
      imports: [TypeOrmModule.forFeature(entities)],
      providers,
      exports: [TypeOrmModule, ...providers],
    };
  }
}

function provide<T extends ObjectLiteral>(definition: ResourceDefinition<T>): Provider {
  return {
    provide: resourceToken(definition.entity),
    inject: [ResourceRepositories, IndexCheck, RowChanges, CONFIG],
    useFactory: (repositories: ResourceRepositories, check: IndexCheck, changes: RowChanges, config: Config) => {
      const { entity, policy, isShared = true } = definition;
      // The second tier knows rows by their names alone: what ends with its owner would live on there.
      const options = { ...definition, beside: policy.by, isShared: isShared && !policy.tags };
      const repository = repositories.of(entity, options);
      check.add(definition, repository.table);
      changes.watch(definition);
      return new Resource(definition, repository, config.PUBLIC_MAX_AGE_S);
    },
  };
}
