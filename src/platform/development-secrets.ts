import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Makes and keeps what production has to be given, so that tokens outlive a restart in development. */
export function addDevelopmentSecrets(given: Record<string, string | undefined>, folder: string): void {
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
