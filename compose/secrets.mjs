// Makes what compose.yaml keeps secret, and leaves what is there: node secrets.mjs FOLDER
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const folder = process.argv[2];

function keep(name, make) {
  const path = join(folder, name);
  if (!existsSync(path)) {
    // Whole or missing.
    writeFileSync(`${path}.new`, make());
    renameSync(`${path}.new`, path);
  }
  return readFileSync(path, 'utf8');
}

const random = () => randomBytes(24).toString('hex');
const redis = keep('redis-password', random);
const postgres = keep('postgres-password', random);
keep('redis.conf', () => `requirepass ${redis}\n`);
keep('redis-url', () => `redis://:${redis}@redis:6379`);
keep('database-url', () => `postgres://floodgate:${postgres}@postgres:5432/floodgate`);
keep('app-secret', random);
keep('admin-password', random);
keep('jwt-private-key.pem', () => generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }));
