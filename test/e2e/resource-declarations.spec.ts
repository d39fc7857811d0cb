import { Controller, Get, Module, type Type } from '@nestjs/common';
import type { MigrationInterface, QueryRunner } from 'typeorm';
import { Column, CreateDateColumn, Entity, PrimaryGeneratedColumn, VersionColumn } from 'typeorm';
import { z } from 'zod';
import type { Migration } from '../../src/platform/database/migrations/index.js';
import { Anyone } from '../../src/platform/http/caller.js';
import { Operation } from '../../src/platform/http/operation.js';
import { defineResource, type ResourceOptions } from '../../src/platform/resource/definition.js';
import { equal } from '../../src/platform/resource/filters.js';
import { ownedBy } from '../../src/platform/resource/policy.js';
import { ResourceModule } from '../../src/platform/resource/resource.module.js';
import { ChangesRoute } from '../../src/platform/resource/routes.js';
import { SampleOrders1800000000000 } from '../sample-orders/1800000000000-sample-orders.js';
import { SampleOrder } from '../sample-orders/sample-order.entity.js';
import { sampleOrderSchema, sampleOrders } from '../sample-orders/sample-order.schema.js';
import { SampleOrdersController } from '../sample-orders/sample-orders.controller.js';
import { startApp } from '../support/app.js';

/** The start's message about a module that cannot work. */
async function failureOf(make: () => Type, migrations: Migration[]): Promise<string> {
  // Some do not even load.
  const starting = async () => startApp({}, { modules: [make()], migrations });
  const { name, message } = await starting().then(
    async (app) => {
      await app.close();
      return new Error('It started.');
    },
    (error: Error) => error,
  );
  return `${name}: ${message}`;
}

/** A later migration. */
const later = (sql: string) =>
  class implements MigrationInterface {
    name = 'Later1800000000001';
    async up(runner: QueryRunner): Promise<void> {
      await runner.query(sql);
    }
    async down(): Promise<void> {}
  };

// biome-ignore lint/suspicious/noExplicitAny: of any entity
function moduleOf(entity: Type, options: ResourceOptions<any>): Type {
  @Module({ imports: [ResourceModule.forFeature([defineResource(entity, options)])] })
  class Declared {}
  return Declared;
}
const declared = (options: Partial<ResourceOptions<SampleOrder>>) =>
  moduleOf(SampleOrder, { ...sampleOrders, ...options });
const { changes: _, webhooks: __, ...silent } = sampleOrders;
const narrowedBy = (...listed: Partial<SampleOrder>[]) => ({
  policy: {
    ...ownedBy<SampleOrder>('ownerId'),
    listed: () => (listed.length === 1 ? (listed[0] as Partial<SampleOrder>) : listed),
  },
});

@Entity('sample_orders')
class Unversioned {
  @PrimaryGeneratedColumn('uuid') id!: string;
  @Column('uuid', { name: 'owner_id' }) ownerId!: string;
  @CreateDateColumn({ name: 'created_at', type: 'timestamptz', precision: 3 }) createdAt!: Date;
}

@Entity('sample_orders')
class Finer {
  @PrimaryGeneratedColumn('uuid') id!: string;
  @VersionColumn() version!: number;
  @CreateDateColumn({ name: 'created_at', type: 'timestamptz' }) createdAt!: Date;
}

@Controller('api/v1')
class OtherController {
  @Get('sample-orders/:number')
  @Anyone()
  @Operation('getSampleOrderByNumber', 'Read an order', { answer: 'The order.', body: sampleOrderSchema })
  byNumber(): object {
    return {};
  }
}

@Module({
  imports: [ResourceModule.forFeature([sampleOrders])],
  controllers: [SampleOrdersController, OtherController],
})
class TwoRoutes {}

function untold(): Type {
  @Controller(silent.path)
  class Untold {
    @ChangesRoute(silent)
    changes(): object {
      return {};
    }
  }
  @Module({ imports: [ResourceModule.forFeature([silent])], controllers: [Untold] })
  class Declared {}
  return Declared;
}

it.each<[string, () => Type, string, ...Migration[]]>([
  [
    'a sort without an index',
    () => declared({ sorts: ['createdAt', 'status'] }),
    'SampleOrder is sorted by status within one ownerId, but no index supports that. Add one in a migration: CREATE INDEX ON sample_orders (owner_id, status, id)',
  ],
  [
    'a sort whose index does not begin with the columns that lists are narrowed by',
    () => moduleOf(SampleOrder, { ...silent, ...narrowedBy({ ownerId: '', status: 'open' }) }),
    'SampleOrder is sorted by createdAt within one ownerId and status, but no index supports that. Add one in a migration: CREATE INDEX ON sample_orders (owner_id, status, created_at, id)',
  ],
  [
    'a sort by a nullable column',
    () => declared({ sorts: ['deliveryAt'] }),
    'SampleOrder.deliveryAt may be null, so lists cannot be sorted by it',
  ],
  [
    'a sort by a hidden column',
    () => declared({ shown: sampleOrderSchema.omit({ total: true }) }),
    'SampleOrder is sorted by total, which clients do not see',
  ],
  [
    'a sort by the id',
    () => declared({ sorts: ['id'] }),
    'SampleOrder is sorted by id, which is only the tiebreaker of another column',
  ],
  [
    'a filter by a hidden column',
    () => declared({ filters: { remark: equal('internalNote') } }),
    'The filter remark uses SampleOrder.internalNote, which clients do not see',
  ],
  [
    'a schema that shows an unknown column',
    () => declared({ shown: sampleOrderSchema.extend({ body: z.string() }) }),
    'SampleOrder has no column body',
  ],
  [
    'a policy that uses an unknown column',
    () => declared({ policy: { ...sampleOrders.policy, by: ['body' as keyof SampleOrder] } }),
    'SampleOrder has no column body',
  ],
  [
    'an entity without a version, which If-Match needs',
    () => moduleOf(Unversioned, { ...sampleOrders, shown: z.object({ id: z.uuid(), ownerId: z.uuid() }), filters: {} }),
    'Unversioned needs a @VersionColumn and a @CreateDateColumn: entity tags are made of them',
  ],
  [
    'a time in microseconds, which cursors and tags would cut',
    () =>
      moduleOf(Finer, {
        ...sampleOrders,
        shown: sampleOrderSchema.pick({ id: true, version: true, createdAt: true }),
        filters: {},
      }),
    'Finer.createdAt has microseconds, which JavaScript dates lack: give it a precision of 3',
  ],
  [
    'a schema that does not show the version',
    () => declared({ shown: sampleOrderSchema.omit({ version: true }) }),
    'SampleOrder.version must be shown: entity tags are made of it',
  ],
  [
    'a schema that does not show the id',
    () => declared({ shown: sampleOrderSchema.omit({ id: true }) }),
    'SampleOrder.id must be shown: paths are made of it',
  ],
  [
    'changes by another column than lists are narrowed by',
    () => moduleOf(SampleOrder, { ...silent, ...narrowedBy({ status: 'open' }), changes: 'ownerId' }),
    'SampleOrder.ownerId must be what lists are narrowed to, since its changes are',
  ],
  [
    'webhooks of a resource that does not tell its changes',
    () => moduleOf(SampleOrder, { ...silent, webhooks: true }),
    "SampleOrder needs changes to have webhooks, and its table's name in @Entity()",
  ],
  [
    'webhooks of lists that are of several owners',
    () => declared(narrowedBy({ ownerId: 'ada' }, { ownerId: 'bob' })),
    'SampleOrder cannot have webhooks: a list must be narrowed to one value',
  ],
  [
    'changes of which no triggers tell',
    () => declared({}),
    "SampleOrder declares changes by ownerId, but no triggers tell of them. Add them in a migration: SELECT feed_changes('sample_orders', 'owner_id')",
    later('DROP FUNCTION note_sample_orders_changes, note_sample_orders_changes_of_updates CASCADE'),
  ],
  [
    'changes of which triggers tell by another column',
    () => declared({}),
    "SampleOrder declares changes by ownerId, but no triggers tell of them. Add them in a migration: SELECT feed_changes('sample_orders', 'owner_id')",
    later(`SELECT feed_changes('sample_orders', 'id')`),
  ],
  [
    'a route of changes that are not declared',
    untold,
    'SampleOrder has a ChangesRoute, but does not declare changes by a column',
  ],
  [
    'webhooks of lists that are of nobody',
    () => declared(narrowedBy({ ownerId: undefined as never })),
    'SampleOrder cannot have webhooks: a list must be narrowed to one value',
  ],
  [
    'two routes for one path',
    () => TwoRoutes,
    'SampleOrdersController.get and OtherController.byNumber both take GET /api/v1/sample-orders/:number',
  ],
])('does not start with %s, and names the class and the member', async (_, make, sentence, ...others) => {
  expect(await failureOf(make, [SampleOrders1800000000000, ...others])).toBe(`StartError: ${sentence}`);
});
