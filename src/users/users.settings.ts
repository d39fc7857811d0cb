import { z } from 'zod';
import type { Config } from '../platform/config.token.js';
import * as setting from '../platform/setting.js';
import { longPassword } from './password.schema.js';

export const usersSettings = {
  /** How long a session lives without a refresh. */
  REFRESH_TOKEN_TTL_S: setting.integer(60, 31_536_000).default(2_592_000),
  /** How long a process trusts a session before it asks PostgreSQL again. */
  SESSION_CHECK_MS: setting.integer(0, 5000).default(3000),
  /** Passwords hashed at the same time, on threads outside the event loop. */
  PASSWORD_HASH_CONCURRENCY: setting.integer(1, 64).default(2),
  /** Passwords that may wait to be hashed; one more is refused with 503. */
  PASSWORD_HASH_QUEUE: setting.integer(1, 10_000).default(64),
  /** The first admin, created at start if there is none. Development creates admin@example.com. */
  ADMIN_EMAIL: z.email('must be an email address').optional(),
  /** The first admin's password. */
  ADMIN_PASSWORD: longPassword.optional().meta({ secret: true }),
};

export type UsersConfig = Config & z.infer<z.ZodObject<typeof usersSettings>>;
