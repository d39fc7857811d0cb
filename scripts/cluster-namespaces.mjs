const APP = 'floodgate';

/**
 * @param name of the namespace that takes the app's place; the others' begin with it, and so do names of what has none
 * @returns the objects as they would be there, where the namespace also warns of the pods that it would refuse
 */
export function moveTo(name, objects) {
  const there = (namespace) => (namespace === APP ? name : `${name}-${namespace}`);
  const moved = JSON.parse(JSON.stringify(objects), (key, value) =>
    key === 'namespace' && typeof value === 'string' ? there(value) : value,
  );
  for (const { kind, metadata } of moved) {
    if (!metadata.namespace) metadata.name = there(metadata.name);
    const level = metadata.labels?.['pod-security.kubernetes.io/enforce'];
    if (kind !== 'Namespace' || !level) continue;
    metadata.labels['pod-security.kubernetes.io/warn'] = level;
    metadata.labels['pod-security.kubernetes.io/audit'] = level;
  }
  return moved;
}

/** @returns the namespaces that objects go to, each with a quota that lets nothing be started */
export function namespacesOf(objects) {
  const names = new Set(objects.flatMap(({ metadata }) => metadata.namespace ?? []));
  return [...names].flatMap((name) => [
    objects.find(({ kind, metadata }) => kind === 'Namespace' && metadata.name === name) ?? {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name },
    },
    {
      apiVersion: 'v1',
      kind: 'ResourceQuota',
      metadata: { name: 'nothing-is-started', namespace: name },
      spec: { hard: { pods: '0', persistentvolumeclaims: '0', 'services.loadbalancers': '0' } },
    },
  ]);
}
