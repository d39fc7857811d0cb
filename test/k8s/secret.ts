import { execFileSync } from 'node:child_process';
import { loadAll } from 'js-yaml';
import { need } from '../support/program.js';
import type { Manifest } from './objects.js';

type Secret = Manifest & { stringData: Record<string, string> };

let kept: Secret[] | undefined;

/** The secrets that k8s/secrets.sh prints, run once. */
export function printedSecrets(): Secret[] {
  if (kept) return kept;
  need('openssl');
  const env = { ...process.env, ADMIN_EMAIL: 'admin@example.com' };
  kept = loadAll(execFileSync('sh', ['k8s/secrets.sh'], { env, encoding: 'utf8' })) as Secret[];
  return kept;
}
