import { createPrivateKey, createPublicKey } from 'node:crypto';
import { z } from 'zod';
import type { Config } from '../platform/config.token.js';
import * as setting from '../platform/setting.js';

export const authSettings = {
  /** The private key that signs access tokens: Ed25519 or P-256, in PEM. Development creates one. */
  JWT_PRIVATE_KEY: setting.pem(createPrivateKey).meta({ secret: true, required: true }),
  /** Further public keys to accept and publish, in PEM, one after another: the next one, the last one. */
  JWT_OTHER_PUBLIC_KEYS: z
    .string()
    .transform(setting.splitPem)
    .pipe(z.array(setting.pem(createPublicKey)).min(1, 'must contain public keys in PEM'))
    .optional()
    .meta({ secret: true }),
  /** The audience (`aud`) of access tokens. */
  JWT_AUDIENCE: z.string().min(1).default('floodgate'),
  /** Lifetime of an access token. */
  ACCESS_TOKEN_TTL_S: setting.integer(10, 900).default(900),
};

export type AuthConfig = Config & z.infer<z.ZodObject<typeof authSettings>>;
