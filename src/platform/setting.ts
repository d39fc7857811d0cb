import ipaddr from 'ipaddr.js';
import { z } from 'zod';
import { parameterFlaw } from './database/url.js';
import { canDecode } from './http/split-url.js';
import { parseRedisUrl } from './redis/url.js';

/** What a setting has beside its type and default. */
export interface SettingMeta {
  /** The default when NODE_ENV is production. */
  production?: string;
  /** Can also be given as a file by NAME_FILE. */
  secret?: true;
  /** A secret that has no default when NODE_ENV is production. */
  required?: true;
}

export const integer = (min: number, max: number) =>
  z
    .string()
    .regex(/^-?\d{1,15}$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.number().min(min, `must be ${min} to ${max}`).max(max, `must be ${min} to ${max}`));

export const ratio = z
  .string()
  .regex(/^(?:0|1|[01]?\.\d{1,15})$/, 'must be 0 to 1')
  .transform(Number)
  .pipe(z.number().max(1, 'must be 0 to 1'));

export const flag = z.enum(['true', 'false'], 'must be true or false').transform((text) => text === 'true');

export const url = (...protocols: string[]) =>
  z
    .string()
    .refine(
      (text) => URL.canParse(text) && protocols.includes(new URL(text).protocol),
      `must be a URL that begins with ${protocols.map((protocol) => `${protocol}//`).join(' or ')}`,
    )
    .refine(canDecode, 'must be a URL with every % of a password written as %25');

export const databaseUrl = url('postgres:', 'postgresql:').superRefine((text, context) => {
  const flaw = URL.canParse(text) ? parameterFlaw(text) : undefined;
  if (flaw) context.addIssue(flaw);
});

export const redisUrl = z.string().superRefine((text, context) => {
  try {
    parseRedisUrl(text);
  } catch (error) {
    context.addIssue((error as Error).message);
  }
});

/** Request paths are appended to it. */
export const publicUrl = url('http:', 'https:').refine(
  (text) => !/[?#]|[^:]\/\//.test(text),
  'must be a URL without ?, # or // in its path',
);

export const addressRange = z
  .string()
  .refine((text) => ipaddr.isValidCIDR(text), 'must be CIDR ranges, like 10.0.0.0/8');

const isOrigin = (text: string) => URL.canParse(text) && new URL(text).origin === text;
export const origin = z.string().refine(isOrigin, 'must be origins like https://app.example.com');

/** Items separated by commas. */
export const list = <T extends z.ZodType<unknown, string>>(item: T) =>
  z
    .string()
    .transform((text) => text.split(',').map((part) => part.trim()))
    .pipe(z.array(item));

/** Names with values, separated by commas. */
export const pairs = z
  .string()
  .regex(/^\s*[\w.-]+\s*=[^,\r\n]*(?:,\s*[\w.-]+\s*=[^,\r\n]*)*$/, 'must be name=value, separated by commas');

const range = z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()]);
const isHops = (text: string) => /^(?:[1-9]|10)$/.test(text);
// A range of /0 would trust every address.
const isRange = (text: string) => range.safeParse(text).success && !text.endsWith('/0');
export const proxies = z
  .string()
  .refine(
    (text) => isHops(text) || text.split(',').every(isRange),
    'must be a number of proxies, 1 to 10, or their addresses or CIDR ranges, separated by commas',
  );

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

/** Shorter names are too similar to variables of other programs. */
const TELLING_LENGTH = 8;

/** @returns the setting that a misspelt name means: wrong case, or one character wrong, missing, added or swapped */
export function meantBy(name: string, names: string[]): string | undefined {
  const slip = name.toUpperCase();
  return names.find((meant) => meant.length >= TELLING_LENGTH && meant !== name && isSlip(slip, meant));
}

/**
 * Settings that a variable was perhaps meant for: it is but for a character one with a short name, or begins with the same
 * two words as one with more.
 */
export function perhapsMeantBy(name: string, names: string[]): string[] {
  const words = name.toUpperCase().split('_');
  const [first, second] = words;
  // What Kubernetes says of each service. OpenTelemetry has many variables that are read elsewhere.
  if (names.includes(name) || first === 'OTEL' || (second && (words.includes('PORT') || words.includes('SERVICE'))))
    return [];
  return names.filter((meant) => {
    if (meant.length < TELLING_LENGTH) return isSlip(words.join('_'), meant);
    const [one, two, more] = meant.split('_');
    return more !== undefined && one === first && two === second;
  });
}

function isSlip(slip: string, meant: string): boolean {
  let same = 0;
  while (same < slip.length && slip[same] === meant[same]) same++;
  const [a, b] = [slip.slice(same), meant.slice(same)];
  const changedOver = `${b[1] ?? ''}${b[0] ?? ''}${b.slice(2)}`;
  return [b, b.slice(1), changedOver].includes(a) || [b, b.slice(1)].includes(a.slice(1));
}

/** What is wrong with a value, as a sentence whose subject is the setting's name. */
export function sentence(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_value') return `must be one of ${issue.values.join(', ')}`;
  return issue.message.startsWith('must') ? issue.message : `is not valid: ${issue.message}`;
}
