import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { dump } from 'js-yaml';
import type { Manifest } from './objects.js';

const MODULE = 'github.com/zegl/kube-score/cmd/kube-score@v1.20.0';
// A CPU limit would throttle a pod even when the node has idle cores; memory has its limit.
const OPTIONS = ['--output-format', 'json', '--kubernetes-version', 'v1.36', '--ignore-container-cpu-limit', '-'];

/** @returns the folder that has kube-score, built */
export function buildScore(go: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'floodgate-kube-score-'));
  const env = { ...process.env, GOBIN: folder, GOFLAGS: '', GOTOOLCHAIN: 'local', CGO_ENABLED: '0' };
  execFileSync(go, ['install', MODULE], { cwd: tmpdir(), env, stdio: 'pipe', timeout: 600_000 });
  return folder;
}

export interface Finding {
  test: string;
  object: string;
}

interface Scored {
  type_meta: { kind: string };
  object_meta: { name: string };
  checks: { check: { id: string }; grade: number; skipped: boolean }[];
}

const PASSED = 10;

/** The findings of kube-score, including warnings. */
export async function score(folder: string, objects: Manifest[]): Promise<Finding[]> {
  const child = spawn(join(folder, 'kube-score'), ['score', ...OPTIONS], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(objects.map((object) => dump(object)).join('---\n'));
  const scored: Scored[] = JSON.parse(await text(child.stdout));
  return scored.flatMap(({ type_meta: { kind }, object_meta: { name }, checks }) =>
    checks
      .filter(({ skipped, grade }) => !skipped && grade < PASSED)
      .map(({ check }) => ({ test: check.id, object: `${kind}/${name}` })),
  );
}
