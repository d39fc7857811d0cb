import { z } from 'zod';

const text = (longest: number) => z.string().min(1).max(longest);

/** Checked no further than their size: a sign-in says nothing of what an address or a password may look like. */
export const credentialsSchema = z
  .strictObject({
    email: text(254).meta({ examples: ['ada@example.com'] }),
    password: text(128).meta({ format: 'password', examples: ['correct-horse-battery'] }),
  })
  .meta({ id: 'Credentials' });
export type Credentials = z.infer<typeof credentialsSchema>;

export const refreshTokenSchema = z.strictObject({ refreshToken: text(256) }).meta({ id: 'RefreshToken' });
export type RefreshToken = z.infer<typeof refreshTokenSchema>;

export const tokensSchema = z
  .object({
    accessToken: z.string().meta({ description: 'A JWT (RFC 9068): send it as `Authorization: Bearer …`.' }),
    tokenType: z.literal('Bearer'),
    expiresIn: z.int().meta({ description: 'Seconds until the access token ends.' }),
    refreshToken: z.string().meta({ description: 'Good once, for the next pair.' }),
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
