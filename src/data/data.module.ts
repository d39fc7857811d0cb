import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { LastingRequests } from '../platform/http/while-allowed.js';
import { UsersModule } from '../users/users.module.js';
import { Collection } from './collection.entity.js';
import { CollectionGuard } from './collection.guard.js';
import { CollectionsController } from './collections.controller.js';
import { CollectionsService } from './collections.service.js';
import { DataRecord } from './record.entity.js';
import { RecordsController } from './records.controller.js';
import { RecordsService } from './records.service.js';
import { Slices } from './slices.js';
import { StatsService } from './stats.service.js';

@Module({
  imports: [TypeOrmModule.forFeature([Collection, DataRecord]), UsersModule],
  controllers: [CollectionsController, RecordsController],
  providers: [CollectionsService, CollectionGuard, RecordsService, Slices, StatsService],
  exports: [CollectionsService, RecordsService],
})
export class DataModule {
  constructor(lasting: LastingRequests, guard: CollectionGuard) {
    lasting.rechecks.push((context) => guard.recheck(context));
  }
}
