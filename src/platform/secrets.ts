import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Environment, SettingMeta } from './setting.js';

/** Makes and keeps what production has to be given, so that tokens outlive a restart in development. */
export function addDevelopmentSecrets(given: Environment, folder: string): void {
  const kept = (file: string, make: () => string): string => {
    const path = join(folder, file);
    try {
      return readFileSync(path, 'utf8');
    } catch {
      mkdirSync(folder, { recursive: true });
      const secret = make();
      writeFileSync(path, secret, { mode: 0o600 });
      return secret;
    }
  };
  given.APP_SECRET ??= kept('app-secret', () => randomBytes(32).toString('base64url'));
  given.JWT_PRIVATE_KEY ??= kept('jwt-private-key.pem', () =>
    generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  );
}

/** What NAME_FILE holds, for a secret that is given so; what is wrong with it goes to the mistakes. */
export function readSecretFile(
  name: string,
  meta: SettingMeta,
  environment: Environment,
  mistakes: string[],
): string | undefined {
  const file = environment[`${name}_FILE`];
  if (!meta.secret || !file) return undefined;
  if (environment[name]) {
    mistakes.push(`${name} and ${name}_FILE are both set: choose one`);
    return undefined;
  }
  try {
    const text = readFileSync(file, 'utf8').replace(/\r?\n$/, '');
    if (text === '') mistakes.push(`${name}_FILE names an empty file: ${file}`);
    return text;
  } catch (error) {
    mistakes.push(`${name}_FILE cannot be read: ${file} (${(error as NodeJS.ErrnoException).code})`);
    return undefined;
  }
}
