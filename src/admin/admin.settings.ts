import type { z } from 'zod';
import type { Config } from '../platform/config.token.js';
import * as setting from '../platform/setting.js';

export const adminSettings = {
  /** Show admins a page at /admin: collections, records, users, and live figures of this process. */
  ADMIN_PAGE: setting.flag.default(true).meta({ production: 'false' }),
};

export type AdminConfig = Config & z.infer<z.ZodObject<typeof adminSettings>>;
