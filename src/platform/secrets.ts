import { createSecretKey, generateKeyPairSync, hkdfSync, type KeyObject, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { StartError } from './start-error.js';

export type Environment = Record<string, string | undefined>;

/** Reads a secret of development from its file, or makes it first; only the file's owner may read it. */
export function keptIn(folder: string, file: string, make: () => string): string {
  const path = join(folder, file);
  if (!existsSync(path)) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(path, make(), { mode: 0o600 });
  }
  return readFileSync(path, 'utf8');
}

/** A key made of APP_SECRET for one purpose: knowing one says nothing about the others (HKDF, RFC 5869). */
export const derivedKey = (appSecret: string, purpose: string): KeyObject =>
  createSecretKey(Buffer.from(hkdfSync('sha256', appSecret, '', purpose, 32)));

/** Makes and stores the secrets that production has to provide, so that in development tokens outlive a restart. */
export function addDevelopmentSecrets(given: Environment, folder: string): void {
  given.APP_SECRET ??= keptIn(folder, 'app-secret', () => randomBytes(32).toString('base64url'));
  given.JWT_PRIVATE_KEY ??= keptIn(folder, 'jwt-private-key.pem', () =>
    generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  );
}

/**
 * Reads a setting from the environment; a secret also from the file that NAME_FILE names.
 * @throws StartError when the file cannot be read or is empty, or when both variables are set
 */
export function valueFrom(name: string, environment: Environment, isSecret = false): string | undefined {
  const value = environment[name] || undefined;
  const file = environment[`${name}_FILE`];
  if (!isSecret || !file) return value;
  if (value) throw new StartError(`${name} and ${name}_FILE are both set: choose one`);
  let text: string;
  try {
    text = readFileSync(file, 'utf8').replace(/\r?\n$/, '');
  } catch (error) {
    throw new StartError(`${name}_FILE cannot be read: ${file} (${(error as NodeJS.ErrnoException).code})`);
  }
  if (text === '') throw new StartError(`${name}_FILE names an empty file: ${file}`);
  return text;
}
