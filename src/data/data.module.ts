import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { Background } from '../platform/lifecycle/background.js';
import { UsersModule } from '../users/users.module.js';
import { BulkService } from './bulk.service.js';
import { Collection } from './collection.entity.js';
import { CollectionsController } from './collections.controller.js';
import { CollectionsService } from './collections.service.js';
import { DataRecord } from './record.entity.js';
import { RecordsController } from './records.controller.js';
import { RecordsService } from './records.service.js';
import { RemovalsService } from './removals.service.js';
import { StatsService } from './stats.service.js';
import { UploadKeys } from './upload-keys.js';

const REMOVAL_INTERVAL_MS = 2000;
const KEY_REMOVAL_INTERVAL_MS = 600_000;

@Module({
  imports: [TypeOrmModule.forFeature([Collection, DataRecord]), UsersModule],
  controllers: [CollectionsController, RecordsController],
  providers: [CollectionsService, RecordsService, BulkService, RemovalsService, StatsService, UploadKeys],
})
export class DataModule {
  constructor(background: Background, removals: RemovalsService, keys: UploadKeys) {
    background.every(REMOVAL_INTERVAL_MS, 'removal of records', (ending) => removals.run(ending));
    background.every(KEY_REMOVAL_INTERVAL_MS, 'removal of expired idempotency keys', () => keys.removeExpired());
  }
}
