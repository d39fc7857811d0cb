import ipaddr from 'ipaddr.js';
import { z } from 'zod';
import type { Config } from '../platform/config.token.js';
import * as setting from '../platform/setting.js';

const range = z.string().refine((text) => ipaddr.isValidCIDR(text), 'must be CIDR ranges, like 10.0.0.0/8');

export const dataSettings = {
  /** Largest `data` of a record, as JSON without white space and with its numbers written out. */
  RECORD_LIMIT_BYTES: setting.integer(64, 1_048_576).default(65_536),
  /** How long a webhook's receiver may take to answer. */
  WEBHOOK_TIMEOUT_MS: setting.integer(100, 60_000).default(10_000),
  /** Private addresses that webhooks may be sent to all the same, as CIDR ranges separated by commas. */
  WEBHOOK_ALLOWED_ADDRESSES: setting.list(range).optional(),
};

export type DataConfig = Config & z.infer<z.ZodObject<typeof dataSettings>>;
