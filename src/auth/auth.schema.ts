import { z } from 'zod';
import { givenEmail } from '../users/email.schema.js';
import { givenPassword } from '../users/password.schema.js';

/** Only sizes are checked, so that a sign-in does not tell what a valid email or password looks like. */
export const credentialsSchema = z
  .strictObject({
    email: givenEmail.meta({ examples: ['ada@example.com'] }),
    password: givenPassword.meta({ examples: ['correct-horse-battery'] }),
  })
  .meta({ id: 'Credentials' });
export type Credentials = z.infer<typeof credentialsSchema>;

/** The canonical email in an unvalidated sign-in body; '' if there is none. */
export const emailIn = (body: unknown): string =>
  credentialsSchema.shape.email.safeParse((body as { email?: unknown } | undefined)?.email).data ?? '';

export const refreshTokenSchema = z
  .strictObject({
    refreshToken: z
      .string()
      .min(1)
      .max(256)
      .meta({ examples: ['the refreshToken of your last pair'] }),
  })
  .meta({ id: 'RefreshToken' });
export type RefreshToken = z.infer<typeof refreshTokenSchema>;

export const tokensSchema = z
  .object({
    accessToken: z.string().meta({
      description: 'A JWT (RFC 9068): send it as `Authorization: Bearer …`.',
      examples: ['eyJhbGciOiJFZERTQSJ9.eyJyb2xlIjoidXNlciJ9.c2lnbmF0dXJl'],
    }),
    tokenType: z.literal('Bearer'),
    expiresIn: z.int().meta({ description: 'Seconds until the access token expires.', examples: [900] }),
    refreshToken: z
      .string()
      .meta({ description: 'Can be used once, for the next pair of tokens.', examples: ['a text to be kept secret'] }),
  })
  .meta({ id: 'Tokens' });
export type Tokens = z.infer<typeof tokensSchema>;

export const jwksSchema = z
  .object({
    keys: z.array(
      z.object({
        kty: z.string(),
        crv: z.string(),
        x: z.string(),
        y: z.string().optional(),
        kid: z.string(),
        alg: z.string(),
        use: z.literal('sig'),
      }),
    ),
  })
  .meta({ id: 'Jwks', description: 'JSON Web Key Set (RFC 7517).' });
