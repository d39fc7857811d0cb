import { z } from 'zod';
import type { Config } from '../platform/config.token.js';
import * as setting from '../platform/setting.js';

export const dataSettings = {
  /** Largest `data` of a record, as JSON without white space and with its numbers written out. */
  RECORD_LIMIT_BYTES: setting.integer(64, 1_048_576).default(65_536),
};

export type DataConfig = Config & z.infer<z.ZodObject<typeof dataSettings>>;
