import { readFileSync } from 'node:fs';
import { appOf, type Check, containersOf, idOf, type Manifest, ofKind, walk, workloadsOf } from './objects.js';
import { printedSecrets } from './secret.js';
import { environmentOf } from './settings.js';

/** Fields of any object that reference another one in its namespace. */
const FIELDS: Record<string, string> = {
  serviceAccountName: 'ServiceAccount',
  configMapRef: 'ConfigMap',
  configMap: 'ConfigMap',
  secretKeyRef: 'Secret',
  secretRef: 'Secret',
  secretName: 'Secret',
  passwordSecret: 'Secret',
  s3Credentials: 'Secret',
  certificateRefs: 'Secret',
  parentRefs: 'Gateway',
  backendRefs: 'Service',
  serviceName: 'Service',
  cluster: 'Cluster',
  barmanObjectName: 'ObjectStore',
  elasticsearchRef: 'Elasticsearch',
};

const NAMESPACES = ['Namespace', 'PriorityClass', 'ClusterRole', 'ClusterRoleBinding'];

/** Every referenced object exists, or an operator makes it, or docs/operations.md says how to make it by hand. */
export const referencesCheck: Check = (objects) => {
  const there = new Set([...objects, ...madeFrom(objects), ...madeByHand()].map(placeOf));
  return objects.flatMap((object) =>
    referencesOf(object)
      .filter((reference) => !there.has(placeOf(reference)))
      .map((reference) => `${idOf(object)} names ${placeOf(reference)}, which is not there`),
  );
};

interface Reference {
  kind: string;
  metadata: { name: string; namespace?: string };
}

const placeOf = ({ kind, metadata: { name, namespace } }: Reference) => `${kind}/${namespace}/${name}`;

function referencesOf(object: Manifest): Reference[] {
  const { namespace } = object.metadata;
  const found: Reference[] = [];
  // A ServiceAccount has no spec.
  for (const { name } of object.imagePullSecrets ?? []) found.push({ kind: 'Secret', metadata: { name, namespace } });
  for (const [, value] of walk(object.spec)) {
    for (const [field, target] of Object.entries(value)) {
      const kind = FIELDS[field];
      if (!kind) continue;
      for (const name of namesIn(target)) found.push({ kind, metadata: { name, namespace } });
    }
    const { kind, name, group, apiVersion } = value as Record<string, string>;
    if (kind && name && (group ?? apiVersion) && kind !== 'ClusterSecretStore')
      found.push({ kind, metadata: { name, namespace } });
  }
  return found;
}

/** All names within a value, or the value itself if it is one. */
const namesIn = (target: unknown): string[] =>
  typeof target === 'string'
    ? [target]
    : [...walk(target)].flatMap(([, { name }]) => (typeof name === 'string' ? [name] : []));

/** Secrets for which docs/operations.md has a command. */
const madeByHand = (): Reference[] => {
  const told = readFileSync('docs/operations.md', 'utf8').matchAll(
    /kubectl create secret [\w-]+ ([\w-]+)(?: -n ([\w-]+))?/g,
  );
  const secrets = [...told].map(([, name, namespace = 'floodgate']) => ({ name: name as string, namespace }));
  return [...printedSecrets(), ...secrets.map((metadata) => ({ kind: 'Secret', metadata }))];
};

/** The objects that operators make from others. */
function madeFrom(objects: Manifest[]): Reference[] {
  const make = (kind: string, names: (name: string, object: Manifest) => [kind: string, name: string][]) =>
    ofKind(objects, kind).flatMap((object) =>
      names(object.metadata.name, object).map(([made, name]) => ({
        kind: made,
        metadata: { name, namespace: object.metadata.namespace },
      })),
    );
  return [
    ...make('Cluster', (name, object) => [
      ['Secret', `${name}-app`],
      ...['-rw', '-ro', '-r'].map((suffix): [string, string] => ['Service', name + suffix]),
      ...[...walk(object.spec)]
        .filter(([path]) => path.endsWith('/serviceTemplate/metadata'))
        .map(([, metadata]): [string, string] => ['Service', metadata.name as string]),
    ]),
    ...make('Pooler', (name) => [['Service', name]]),
    ...make('Elasticsearch', (name) => [
      ['Secret', `${name}-es-http-certs-public`],
      ['Secret', `${name}-es-elastic-user`],
      ['Service', `${name}-es-http`],
    ]),
    ...make('ExternalSecret', (name) => [['Secret', name]]),
  ];
}

/** A server with a plain name in the app's settings is a Service here. */
export const hostsCheck: Check = (objects) => {
  const services = [...objects, ...madeFrom(objects)].filter(({ kind }) => kind === 'Service');
  return containersOf(appOf(objects)).flatMap((container) =>
    Object.entries(environmentOf(objects, container).environment)
      .filter(([name]) => /^(?:DATABASE|REDIS)_(?:\w+_)?URLS?$/.test(name))
      .flatMap(([name, urls]) => urls.split(',').map((url) => [name, new URL(url).hostname] as const))
      .filter(([, host]) => !services.some(({ metadata }) => metadata.name === host))
      .map(([name, host]) => `${container.name}: ${name} leads to ${host}, which no Service is called`),
  );
};

/** A route is attached to an existing listener of its gateway. */
export const listenersCheck: Check = (objects) => {
  const listeners = ofKind<Gateway>(objects, 'Gateway').flatMap(({ spec }) => spec.listeners.map(({ name }) => name));
  return ofKind<Route>(objects, 'HTTPRoute').flatMap((route) =>
    route.spec.parentRefs
      .filter(({ sectionName }) => !sectionName || !listeners.includes(sectionName))
      .map(({ sectionName }) => `${idOf(route)} hangs on a listener ${sectionName}`),
  );
};

type Gateway = Manifest & { spec: { listeners: { name: string }[] } };
type Route = Manifest & { spec: { parentRefs: { sectionName?: string }[] } };

/** Every object has a namespace, so that it does not depend on kubectl's current one. */
export const namespacesCheck: Check = (objects) =>
  objects
    .filter(({ kind, metadata }) => !metadata.namespace && !NAMESPACES.includes(kind))
    .map((object) => `${idOf(object)} has no namespace`);

/** Every mounted volume exists, and every volume is mounted. */
export const volumesCheck: Check = (objects) =>
  workloadsOf(objects).flatMap((workload) => {
    const { volumes = [], containers, initContainers = [] } = workload.spec.template.spec;
    const claimed = workload.spec.volumeClaimTemplates?.map(({ metadata }) => metadata.name) ?? [];
    const there = [...volumes.map(({ name }) => name), ...claimed];
    const mounted = [...containers, ...initContainers].flatMap(({ volumeMounts = [] }) =>
      volumeMounts.map(({ name }) => name),
    );
    return [
      ...mounted
        .filter((name) => !there.includes(name))
        .map((name) => `${idOf(workload)} mounts ${name}, which is not there`),
      ...there.filter((name) => !mounted.includes(name)).map((name) => `${idOf(workload)} mounts ${name} nowhere`),
    ];
  });
