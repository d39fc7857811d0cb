import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { Background } from '../platform/lifecycle/background.js';
import { BulkController } from './bulk.controller.js';
import { BulkService } from './bulk.service.js';
import { Collection } from './collection.entity.js';
import { CollectionsController } from './collections.controller.js';
import { CollectionsService } from './collections.service.js';
import { DataRecord } from './record.entity.js';
import { RecordsController } from './records.controller.js';
import { RecordsService } from './records.service.js';
import { RemovalsService } from './removals.service.js';

const REMOVAL_INTERVAL_MS = 2000;

@Module({
  imports: [TypeOrmModule.forFeature([Collection, DataRecord])],
  controllers: [CollectionsController, BulkController, RecordsController],
  providers: [CollectionsService, RecordsService, BulkService, RemovalsService],
})
export class DataModule {
  constructor(background: Background, removals: RemovalsService) {
    background.every(REMOVAL_INTERVAL_MS, 'removal of records', () => removals.run());
  }
}
