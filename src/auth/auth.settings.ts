import { createPrivateKey, createPublicKey } from 'node:crypto';
import { z } from 'zod';
import type { Config } from '../platform/config.token.js';
import * as setting from '../platform/setting.js';

export const authSettings = {
  /** Signs access tokens: an Ed25519 or P-256 private key in PEM. Development makes one. */
  JWT_PRIVATE_KEY: setting.pem(createPrivateKey).meta({ secret: true, required: true }),
  /** Public keys in PEM, one after another, that are accepted and published too: the next, the last. */
  JWT_OTHER_PUBLIC_KEYS: z
    .string()
    .transform(setting.splitPem)
    .pipe(z.array(setting.pem(createPublicKey)).min(1, 'must hold public keys in PEM'))
    .optional()
    .meta({ secret: true }),
  /** The audience (`aud`) of access tokens. */
  JWT_AUDIENCE: z.string().min(1).default('floodgate'),
  /** Life of an access token. */
  ACCESS_TOKEN_TTL_S: setting.integer(10, 900).default(900),
};

export type AuthConfig = Config & z.infer<z.ZodObject<typeof authSettings>>;
