import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadAll } from 'js-yaml';
import { download, ownerOf } from '../test/k8s/projects.ts';

/**
 * Installs the kinds of some objects, from the projects that they are of.
 * @returns the definitions, as kubectl names them
 */
export function installDefinitions(kubectl, objects) {
  const projects = [...new Set(objects.map(ownerOf))];
  const newest = projects.map((project) => ({ project, version: project.versions[1] }));
  const there = kubectl.namesOf('customresourcedefinitions');
  const installed = [];
  for (const { project, version, folder, refused } of download('go', newest)) {
    if (refused) {
      console.log(`${project.name} ${version} is not to be had: ${refused.replace(/\s+/g, ' ')}`);
      continue;
    }
    const definitions = readdirSync(folder)
      .filter((file) => file.endsWith('.yaml'))
      .flatMap((file) => loadAll(readFileSync(join(folder, file), 'utf8')))
      .filter(({ kind }) => kind === 'CustomResourceDefinition')
      // One that is there in another version is somebody's, with all that is of its kind.
      .filter(({ metadata }) => !there.includes(metadata.name))
      .filter(({ spec }) =>
        objects.some(({ kind, apiVersion }) => apiVersion.startsWith(`${spec.group}/`) && kind === spec.names.kind),
      );
    if (definitions.length === 0) continue;
    const said = kubectl.apply(['--server-side'], definitions);
    if (said.length > 0) console.log(said.join('\n'));
    const names = definitions.map(({ metadata }) => `crd/${metadata.name}`);
    installed.push(...names);
    kubectl.run(['wait', '--for=condition=Established', '--timeout=60s', ...names]);
    console.log(`Installed of ${project.name} ${version}: ${names.join(' ')}`);
  }
  return installed;
}
