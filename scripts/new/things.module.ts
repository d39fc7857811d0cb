import { Module } from '@nestjs/common';
import { ResourceModule } from '../../src/platform/resource/resource.module.js';
import { things } from './thing.schema.js';
import { ThingsController } from './things.controller.js';

@Module({ imports: [ResourceModule.forFeature([things])], controllers: [ThingsController] })
export class ThingsModule {}
