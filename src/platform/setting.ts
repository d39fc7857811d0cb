import { isIP } from 'node:net';
import { z } from 'zod';

export type Environment = Record<string, string | undefined>;

/** Mistakes in the settings, one line each. */
export class ConfigError extends Error {
  override name = 'ConfigError';
}

/** What a variable has beside its type and default. */
export interface SettingMeta {
  /** Taken instead of the default when NODE_ENV is production. */
  production?: string;
  /** May also be given as a file by NAME_FILE. */
  secret?: true;
  /** Has no default when NODE_ENV is production. */
  required?: true;
}

export const integer = (min: number, max: number) =>
  z
    .string()
    .regex(/^-?\d{1,15}$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.number().min(min, `must be ${min} to ${max}`).max(max, `must be ${min} to ${max}`));

export const flag = z.enum(['true', 'false'], 'must be true or false').transform((text) => text === 'true');

export const url = (...protocols: string[]) =>
  z
    .string()
    .refine(
      (text) => URL.canParse(text) && protocols.includes(new URL(text).protocol),
      `must be a URL that begins with ${protocols.map((protocol) => `${protocol}//`).join(' or ')}`,
    );

export const origin = z
  .string()
  .refine(
    (text) => URL.canParse(text) && new URL(text).origin === text,
    'must be origins like https://app.example.com',
  );

/** Items separated by commas. */
export const list = <T extends z.ZodType<unknown, string>>(item: T) =>
  z
    .string()
    .transform((text) => text.split(',').map((part) => part.trim()))
    .pipe(z.array(item));

const isRange = (text: string): boolean => {
  const [address = '', bits, rest] = text.split('/');
  const longest = { 4: 32, 6: 128 }[isIP(address)];
  if (longest === undefined || rest !== undefined) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= longest);
};

export const addresses = z
  .string()
  .refine((text) => text.split(',').every(isRange), 'must be addresses or CIDR ranges, separated by commas');

export const pem = (
  read: (text: string) => { asymmetricKeyType?: string; asymmetricKeyDetails?: { namedCurve?: string } },
) =>
  z.string().refine((text) => {
    try {
      const key = read(text);
      return key.asymmetricKeyType === 'ed25519' || key.asymmetricKeyDetails?.namedCurve === 'prime256v1';
    } catch {
      return false;
    }
  }, 'must be an Ed25519 or P-256 key in PEM');

export const splitPem = (text: string): string[] => text.match(/-----BEGIN [^-]+-----[^-]+-----END [^-]+-----/g) ?? [];
