import { Global, Module } from '@nestjs/common';
import { Feeds } from './feeds.js';
import { Listeners } from './listeners.js';
import { Ticks } from './ticks.js';

/** The change feeds of all resources that declare one. */
@Global()
@Module({ providers: [Ticks, Listeners, Feeds], exports: [Ticks, Feeds] })
export class FeedModule {}
