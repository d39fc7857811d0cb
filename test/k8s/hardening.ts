import {
  appOf,
  bytesOf,
  type Check,
  type Container,
  containersOf,
  idOf,
  type Manifest,
  type Workload,
  workloadsOf,
} from './objects.js';

const VOLUMES = 'configMap csi downwardAPI emptyDir ephemeral persistentVolumeClaim projected secret'.split(' ');

const perContainer = (objects: Manifest[], complaints: (container: Container, workload: Workload) => string[]) =>
  workloadsOf(objects).flatMap((workload) =>
    containersOf(workload).flatMap((container) =>
      complaints(container, workload).map((line) => `${idOf(workload)} ${container.name}: ${line}`),
    ),
  );

/** Every image has a version, and the app's containers have the same one. */
export const imagesCheck: Check = (objects) => [
  ...perContainer(objects, ({ image }) => {
    const tag = /(?::([\w.-]+)|@sha256:[0-9a-f]{64})$/.exec(image);
    return tag && tag[1] !== 'latest' ? [] : [`${image} may be anything`];
  }),
  ...(new Set(containersOf(appOf(objects)).map(({ image }) => image)).size > 1
    ? ['it migrates for another version']
    : []),
];

/** Memory requests equal limits: an overcommitted node would kill pods. */
export const memoryCheck: Check = (objects) =>
  perContainer(objects, ({ resources: { requests, limits } = {} }) => [
    ...(requests?.memory && requests.memory === limits?.memory
      ? []
      : [`requests ${requests?.memory} of memory, may use ${limits?.memory}`]),
    ...(requests?.cpu ? [] : ['requests no CPU']),
    ...(bytesOf(requests?.['ephemeral-storage']) > 0 && bytesOf(limits?.['ephemeral-storage']) > 0
      ? []
      : ['may fill the disk of its node']),
  ]);

/** Containers write only to their volumes, and have only the rights that are named. */
export const containersCheck: Check = (objects) =>
  perContainer(objects, ({ securityContext = {} }) => [
    ...(securityContext.readOnlyRootFilesystem ? [] : ['may write to its image']),
    ...(securityContext.allowPrivilegeEscalation === false ? [] : ['may gain privileges']),
    ...(securityContext.capabilities?.drop?.includes('ALL') ? [] : ['keeps capabilities']),
    ...(securityContext.privileged ? ['is privileged'] : []),
  ]);

/** Pods fit Pod Security's profile `restricted` when their namespace enforces it. */
export const restrictedCheck: Check = (objects) => {
  const enforcing = objects
    .filter(({ metadata }) => metadata.labels?.['pod-security.kubernetes.io/enforce'] === 'restricted')
    .map(({ metadata }) => metadata.name);
  if (!enforcing.includes('floodgate')) return ['namespace floodgate enforces nothing'];
  const { labels } =
    objects.find(({ metadata }) => metadata.name === 'floodgate' && !metadata.namespace)?.metadata ?? {};
  if (!/^v1\.\d+$/.test(labels?.['pod-security.kubernetes.io/enforce-version'] ?? ''))
    return ['namespace floodgate enforces what the next version of the cluster means'];
  return workloadsOf(objects)
    .filter(({ metadata }) => enforcing.includes(metadata.namespace as string))
    .flatMap((workload) => restrictions(workload).map((line) => `${idOf(workload)} ${line}`));
};

function restrictions(workload: Workload): string[] {
  const { hostNetwork, hostPID, hostIPC, securityContext, volumes = [] } = workload.spec.template.spec;
  const containers = containersOf(workload);
  const users = [securityContext?.runAsUser, ...containers.map((one) => one.securityContext?.runAsUser)];
  const added = containers.flatMap((one) => one.securityContext?.capabilities?.add ?? []);
  const host =
    hostNetwork || hostPID || hostIPC || containers.some(({ ports }) => ports?.some((port) => port.hostPort));
  return [
    ...(securityContext?.runAsNonRoot && !users.includes(0) ? [] : ['may run as root']),
    ...(securityContext?.seccompProfile?.type === 'RuntimeDefault' ? [] : ['has no seccomp profile']),
    ...(added.every((one) => one === 'NET_BIND_SERVICE') ? [] : [`adds ${added}`]),
    ...(host ? ["uses the node's own"] : []),
    ...volumes
      .filter((volume) => !VOLUMES.some((kind) => kind in volume))
      .map(({ name }) => `has a volume ${name} of a kind that is not allowed`),
  ];
}

/** Serving pods have an existing priority class, and are not evicted for others. */
export const priorityCheck: Check = (objects) => {
  const classes = objects.filter(({ kind }) => kind === 'PriorityClass').map(({ metadata }) => metadata.name);
  const pods = [
    ...workloadsOf(objects).map((workload) => [workload, workload.spec.template.spec.priorityClassName] as const),
    ...(objects as Operated[])
      .filter(({ kind }) => ['Cluster', 'Pooler'].includes(kind))
      .map((one) => [one, one.spec.priorityClassName ?? one.spec.template?.spec.priorityClassName] as const),
  ];
  return pods
    .filter(([{ metadata }, name]) => metadata.namespace === 'floodgate' && !classes.includes(name as string))
    .map(([object, name]) => `${idOf(object)} has the priority ${name}`);
};

type Operated = Manifest & {
  spec: { priorityClassName?: string; template?: { spec: { priorityClassName?: string } } };
};

/** No pod has a token of the cluster, since none uses its API. */
export const tokensCheck: Check = (objects) =>
  workloadsOf(objects)
    .filter(({ spec }) => spec.template.spec.automountServiceAccountToken !== false)
    .map((workload) => `${idOf(workload)} has a token of the cluster`);
