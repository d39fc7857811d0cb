import type { z } from 'zod';
import type { Config } from '../platform/config.token.js';
import * as setting from '../platform/setting.js';

export const dataSettings = {
  /** After so long without a sign of life, an upload under an Idempotency-Key counts as crashed and may be tried again. */
  IDEMPOTENCY_LEASE_MS: setting.integer(100, 600_000).default(30_000),
  /** Largest `data` of a record: as JSON without white space, its numbers written out. */
  RECORD_LIMIT_BYTES: setting.integer(64, 1_048_576).default(65_536),
};

export type DataConfig = Config & z.infer<z.ZodObject<typeof dataSettings>>;
