/** The parts of manifests that the checks read. The schemas check the rest. */
export interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string; labels?: Labels; annotations?: Labels };
  spec?: unknown;
  data?: Record<string, string>;
  imagePullSecrets?: { name: string }[];
}

/** Checks objects as they would be applied. @returns a line for each mistake */
export type Check = (objects: Manifest[]) => string[] | Promise<string[]>;

export type Labels = Record<string, string>;

export interface Selector {
  matchLabels?: Labels;
  matchExpressions?: { key: string; operator: 'Exists' }[];
}

export interface Probe {
  httpGet?: { path: string; port: number | string };
  tcpSocket?: { port: number | string };
  exec?: { command: string[] };
}

export interface Variable {
  name: string;
  value?: string;
  valueFrom?: { secretKeyRef?: { name: string; key: string; optional?: boolean } };
}

export interface Container {
  name: string;
  image: string;
  env?: Variable[];
  envFrom?: { configMapRef?: { name: string }; secretRef?: { name: string } }[];
  ports?: { name?: string; containerPort: number; hostPort?: number }[];
  resources?: { requests?: Labels; limits?: Labels };
  securityContext?: {
    allowPrivilegeEscalation?: boolean;
    privileged?: boolean;
    readOnlyRootFilesystem?: boolean;
    runAsUser?: number;
    capabilities?: { drop?: string[]; add?: string[] };
  };
  startupProbe?: Probe;
  readinessProbe?: Probe;
  livenessProbe?: Probe;
  lifecycle?: { preStop?: { sleep?: { seconds: number } } };
  command?: string[];
  args?: string[];
  volumeMounts?: { name: string; mountPath: string; readOnly?: boolean }[];
}

export interface Volume {
  name: string;
  configMap?: { name: string };
  secret?: { secretName: string };
  [kind: string]: unknown;
}

/** A spread constraint of pods. */
export interface Spread {
  topologyKey: string;
  labelSelector: Selector;
}

export interface PodSpec {
  serviceAccountName?: string;
  priorityClassName?: string;
  automountServiceAccountToken?: boolean;
  hostNetwork?: boolean;
  hostPID?: boolean;
  hostIPC?: boolean;
  terminationGracePeriodSeconds?: number;
  securityContext?: { runAsNonRoot?: boolean; runAsUser?: number; seccompProfile?: { type: string } };
  tolerations?: { operator?: string; key?: string; effect?: string }[];
  topologySpreadConstraints?: Spread[];
  initContainers?: Container[];
  containers: Container[];
  volumes?: Volume[];
}

export interface Workload extends Manifest {
  spec: {
    replicas?: number;
    serviceName?: string;
    minReadySeconds?: number;
    strategy?: { rollingUpdate?: { maxUnavailable?: number | string; maxSurge?: number | string } };
    selector: Selector;
    template: { metadata: { labels: Labels }; spec: PodSpec };
    volumeClaimTemplates?: { metadata: { name: string } }[];
  };
}

export interface Service extends Manifest {
  spec: { selector: Labels; ports: { name?: string; port: number; targetPort?: number | string }[] };
}

export const idOf = ({ kind, metadata }: Manifest) => `${kind}/${metadata.name}`;

export const ofKind = <T extends Manifest = Manifest>(objects: Manifest[], kind: string) =>
  objects.filter((object): object is T => object.kind === kind);

/** The object of a kind with this name. */
export function named<T extends Manifest = Manifest>(objects: Manifest[], kind: string, name: string): T {
  const found = ofKind<T>(objects, kind).find(({ metadata }) => metadata.name === name);
  if (!found) throw new Error(`${kind}/${name} is not there`);
  return found;
}

/** Objects with a template of pods. That of a CronJob is nested deeper, and nothing selects its pods. */
export const workloadsOf = (objects: Manifest[]): Workload[] => [
  ...objects.filter((object): object is Workload => ['Deployment', 'StatefulSet', 'DaemonSet'].includes(object.kind)),
  ...ofKind<CronJob>(objects, 'CronJob').map((job) => ({
    ...job,
    spec: { ...job.spec.jobTemplate.spec, selector: {} },
  })),
];

type CronJob = Manifest & { spec: { jobTemplate: { spec: Omit<Workload['spec'], 'selector'> } } };

/** A quantity in the notation of Kubernetes and Fluent Bit, in bytes; 0 if there is none. */
export function bytesOf(quantity = '0'): number {
  const [, number, unit = ''] = /^(\d+)(\w*)$/.exec(quantity) ?? [];
  const units: Record<string, number> = { '': 1, M: 1e6, G: 1e9, Mi: 2 ** 20, Gi: 2 ** 30 };
  return Number(number) * (units[unit] ?? Number.NaN);
}

export const containersOf = ({ spec }: Workload): Container[] => [
  ...(spec.template.spec.initContainers ?? []),
  ...spec.template.spec.containers,
];

/** The app's Deployment. */
export const appOf = (objects: Manifest[]) => named<Workload>(objects, 'Deployment', 'floodgate');

/** The app's Deployment, and that of the workers if there is one. */
export const appsOf = (objects: Manifest[]): Workload[] => [
  appOf(objects),
  ...ofKind<Workload>(objects, 'Deployment').filter(({ metadata }) => metadata.name === 'floodgate-worker'),
];

/** The container of the app's pods that serves or works. */
export const mainOf = ({ containers }: PodSpec) => containers.find(({ name }) => name === 'floodgate') as Container;

export const appContainerOf = (objects: Manifest[]) => mainOf(appOf(objects).spec.template.spec);

export const selects = ({ matchLabels = {}, matchExpressions = [] }: Selector, labels: Labels = {}) =>
  Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
  matchExpressions.every(({ key, operator }) => operator === 'Exists' && key in labels);

/** Every object and list within a value, with its path. */
export function* walk(value: unknown, path = ''): Generator<[path: string, value: Record<string, unknown>]> {
  if (typeof value !== 'object' || value === null) return;
  yield [path, value as Record<string, unknown>];
  for (const [key, child] of Object.entries(value)) yield* walk(child, `${path}/${key}`);
}
