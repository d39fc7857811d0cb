import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A unique text. */
export const canary = (what: string): string => `canary-${what}-${randomBytes(12).toString('hex')}`;

const privateKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;

/** Every secret of a deployment and of its callers; tokens are added when they are issued. */
export function plantCanaries() {
  const JWT_PRIVATE_KEY = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const secrets: Record<string, string> = {
    ...Object.fromEntries(
      [
        'database',
        'redis',
        'application',
        'admin',
        'collector',
        'user',
        'wrong',
        'next',
        'cookie',
        'token',
        'key',
        'record',
      ].map((what) => [what, canary(what)]),
    ),
    'the private key': JWT_PRIVATE_KEY.split('\n')[1] as string,
    'the scalar of the private key': privateKey.export({ format: 'jwk' }).d as string,
  };
  return {
    JWT_PRIVATE_KEY,
    secrets: secrets as Record<string, string> & Record<'database' | 'redis' | 'record', string>,
  };
}

/** The names of these secrets that occur in a text, plainly or encoded as in a URL, JSON, Base64 or hexadecimal. */
export function found(secrets: Record<string, string>, text: string): string[] {
  return Object.entries(secrets)
    .filter(([, secret]) => writings(secret).some((writing) => text.includes(writing)))
    .map(([name]) => name);
}

function writings(secret: string): string[] {
  const bytes = Buffer.from(secret);
  // Within other bytes, Base64 depends on the offset; the middle is equal for one of three offsets.
  const base64 = [0, 1, 2].flatMap((shift) => {
    const encoded = Buffer.concat([Buffer.alloc(shift), bytes]).toString('base64');
    const middle = encoded.slice(4, -4);
    return [middle, middle.replaceAll('+', '-').replaceAll('/', '_')];
  });
  return [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret), bytes.toString('hex'), ...base64];
}

/** The content of all files of a folder. */
export const textIn = (folder: string): string =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'))
    .join('\n');
