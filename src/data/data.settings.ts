import type { z } from 'zod';
import type { Config } from '../platform/config.token.js';
import * as setting from '../platform/setting.js';

export const dataSettings = {
  /** An upload under an Idempotency-Key that gives no sign of life for so long counts as crashed and may be retried. */
  IDEMPOTENCY_LEASE_MS: setting.integer(100, 600_000).default(30_000),
  /** Largest `data` of a record, as JSON without white space and with its numbers written out. */
  RECORD_LIMIT_BYTES: setting.integer(64, 1_048_576).default(65_536),
};

export type DataConfig = Config & z.infer<z.ZodObject<typeof dataSettings>>;
