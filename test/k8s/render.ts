import { execFile } from 'node:child_process';
import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { promisify } from 'node:util';
import { dump, loadAll } from 'js-yaml';
import type { Manifest } from './objects.js';

const run = promisify(execFile);

/** Renders base or an overlay like `kubectl apply -k`, with components added as in an own overlay. */
export async function render(name: string, ...components: string[]): Promise<Manifest[]> {
  const folder = `k8s/${name}`;
  if (components.length === 0 && name !== 'base') return build(folder);
  const own = await realpath(await mkdtemp(join(tmpdir(), 'floodgate-overlay-')));
  const from = (path: string) => relative(own, resolve(path));
  try {
    const kustomization = {
      resources: [from(folder)],
      components: components.map((component) => from(`k8s/components/${component}`)),
      // Overlays set the image's tag.
      ...(name === 'base' && { images: [{ name: 'floodgate', newTag: '0.1.0' }] }),
    };
    await writeFile(join(own, 'kustomization.yaml'), dump(kustomization));
    return await build(own);
  } finally {
    await rm(own, { recursive: true });
  }
}

/** Runs kustomize; a warning counts as a failure, since it announces that a field will be removed. */
async function build(folder: string): Promise<Manifest[]> {
  const { stdout, stderr } = await run('kubectl', ['kustomize', folder], { maxBuffer: 2 ** 26 });
  if (stderr) throw new Error(stderr);
  return loadAll(stdout) as Manifest[];
}
