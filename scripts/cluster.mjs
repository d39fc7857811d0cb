// Asks the API server of a cluster for trying things out (kind, k3d) whether it takes every overlay and component:
//   npm run test:cluster -- --context NAME [--install-crds]
// Each goes into namespaces of its own, which are removed; a quota there lets no pod, volume or load balancer be made.
// A kind that the cluster lacks is named, and what needs it is not tried, which counts as a failure. With --install-crds
// such kinds are installed first, in the newest version that is tested, and removed at the end; that needs Go.
import { randomBytes } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { COMBINATIONS } from '../test/k8s/combinations.ts';
import { ownerOf } from '../test/k8s/projects.ts';
import { render } from '../test/k8s/render.ts';
import { installDefinitions } from './cluster-definitions.mjs';
import { Kubectl } from './cluster-kubectl.mjs';
import { moveTo, namespacesOf } from './cluster-namespaces.mjs';

const { values } = parseArgs({ options: { context: { type: 'string' }, 'install-crds': { type: 'boolean' } } });
if (!values.context) {
  console.error('Say which cluster: npm run test:cluster -- --context NAME. kubectl config get-contexts lists them.');
  process.exit(2);
}
const kubectl = new Kubectl(values.context);
const version = kubectl.serverVersion();
if (!version) process.exit(2);
console.log(`${values.context}: Kubernetes ${version}`);

const all = [];
for (const combination of COMBINATIONS)
  all.push({ name: combination.join(' + '), objects: await render(...combination) });

let definitions = [];
const made = [];
let passed = 0;
let failed = 0;
// What is under way is removed before the end.
let isStopped = false;
process.on('SIGINT', () => {
  isStopped = true;
});
try {
  const objects = all.flatMap((one) => one.objects);
  if (values['install-crds']) definitions = installDefinitions(kubectl, kubectl.lackingOf(objects));
  const lacking = new Map(kubectl.lackingOf(objects).map((object) => [kindOf(object), object]));
  for (const [kind, object] of lacking) console.log(`The cluster lacks ${kind} (${ownerOf(object).name})`);
  for (const { name, objects } of all) {
    await setTimeout();
    if (isStopped) break;
    const missing = [...new Set(objects.map(kindOf).filter((kind) => lacking.has(kind)))];
    const said = missing.length > 0 ? [`not tried, for it needs ${missing.join(', ')}`] : tryOut(objects);
    if (said.length > 0) failed += 1;
    else passed += 1;
    console.log([`${said.length > 0 ? 'failed' : 'passed'}: ${name}, ${objects.length} objects`, ...said].join('\n  '));
  }
} finally {
  const left = () => kubectl.namesOf('namespaces').filter((name) => made.includes(name));
  for (let tries = 0; tries < 30 && left().length > 0; tries += 1) await setTimeout(2000);
  if (left().length > 0) console.log(`Deleted, but the cluster has not yet removed: ${left().join(' ')}`);
  if (definitions.length > 0) kubectl.run(['delete', '--wait=false', ...definitions]);
}
if (isStopped) console.log('stopped');
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 || isStopped ? 1 : 0;

function kindOf({ apiVersion, kind }) {
  return `${kind}.${apiVersion}`;
}

/** @returns what is wrong, a line each */
function tryOut(objects) {
  const name = `floodgate-test-${randomBytes(4).toString('hex')}`;
  const moved = moveTo(name, objects);
  const namespaces = namespacesOf(moved);
  try {
    made.push(...namespaces.map(({ metadata }) => metadata.name));
    const prepared = kubectl.apply([], namespaces);
    if (prepared.length > 0) return prepared;
    const steps = [
      () => kubectl.apply(['--dry-run=server', '--validate=strict'], moved),
      () => kubectl.apply(['--server-side', '--validate=strict'], moved),
      () => kubectl.apply(['--server-side', '--validate=strict'], moved),
      () => kubectl.diff(moved),
    ];
    for (const step of steps) {
      const said = step();
      if (said.length > 0) return said;
    }
    return [];
  } finally {
    kubectl.remove(moved.filter(({ metadata }) => !metadata.namespace));
    kubectl.remove(namespaces.filter(({ kind }) => kind === 'Namespace'));
  }
}
