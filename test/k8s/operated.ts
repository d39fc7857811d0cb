import {
  appOf,
  type Check,
  type Container,
  type Labels,
  type Manifest,
  named,
  ofKind,
  type PodSpec,
  type Selector,
  type Spread,
  selects,
} from './objects.js';

/** A set of several pods of one kind, and whether a budget keeps them from stopping all at once. */
interface PodSet {
  name: string;
  labels: Labels;
  spread: Spread[];
  resources: Container['resources'];
  hasBudget: boolean;
}

interface Cluster extends Manifest {
  spec: { topologySpreadConstraints?: Spread[]; enablePDB?: boolean; resources?: Container['resources'] };
}

interface Pooler extends Manifest {
  spec: { cluster: { name: string }; template?: { metadata?: { labels?: Labels }; spec: PodSpec } };
}

/** The pods that operators start for objects, with their labels. */
export function operatedSets(objects: Manifest[]): PodSet[] {
  return [
    ...gatewaySets(objects),
    ...ofKind<Cluster>(objects, 'Cluster').map(({ metadata: { name }, spec }) => ({
      name,
      labels: { 'cnpg.io/cluster': name, 'cnpg.io/podRole': 'instance' },
      spread: spec.topologySpreadConstraints ?? [],
      resources: spec.resources,
      hasBudget: spec.enablePDB !== false,
    })),
    ...ofKind<Pooler>(objects, 'Pooler').map(({ metadata: { name }, spec }) => {
      const labels = {
        'cnpg.io/cluster': spec.cluster.name,
        'cnpg.io/podRole': 'pooler',
        'cnpg.io/poolerName': name,
        ...spec.template?.metadata?.labels,
      };
      return {
        name,
        labels,
        spread: spec.template?.spec.topologySpreadConstraints ?? [],
        resources: spec.template?.spec.containers.find((one) => one.name === 'pgbouncer')?.resources,
        hasBudget: hasBudget(objects, labels),
      };
    }),
  ];
}

interface Proxy extends Manifest {
  spec: {
    kubernetes: {
      deployment: {
        replicas?: number;
        pod?: { topologySpreadConstraints?: Spread[] };
        container?: { resources?: Container['resources'] };
      };
    };
  };
}

/** The NGINX pods of a Gateway, by the parameters that it references. */
const gatewaySets = (objects: Manifest[]): PodSet[] =>
  ofKind<Manifest & { spec: { infrastructure: { parametersRef: { name: string } } } }>(objects, 'Gateway').map(
    ({ metadata: { name }, spec: { infrastructure } }) => {
      const labels = { 'gateway.networking.k8s.io/gateway-name': name };
      const { deployment } = named<Proxy>(objects, 'NginxProxy', infrastructure.parametersRef.name).spec.kubernetes;
      return {
        name: `the gateway ${name}`,
        labels,
        // A single pod cannot be spread.
        spread: (deployment.replicas ?? 1) > 1 ? (deployment.pod?.topologySpreadConstraints ?? []) : [],
        resources: deployment.container?.resources,
        hasBudget: hasBudget(objects, labels),
      };
    },
  );

const hasBudget = (objects: Manifest[], labels: Labels) =>
  ofKind<Manifest & { spec: { selector: Selector } }>(objects, 'PodDisruptionBudget').some(({ spec }) =>
    selects(spec.selector, labels),
  );

/** Sets of several pods are spread, stop one after the other, and have the memory that they request. */
export const spreadCheck: Check = (objects) => {
  const { metadata, spec } = appOf(objects);
  const { labels } = spec.template.metadata;
  const app = {
    name: metadata.name,
    labels,
    spread: spec.template.spec.topologySpreadConstraints ?? [],
    resources: spec.template.spec.containers[0]?.resources,
    hasBudget: hasBudget(objects, labels),
  };
  return [app, ...operatedSets(objects)].flatMap((set) => [
    ...['topology.kubernetes.io/zone', 'kubernetes.io/hostname']
      .filter((key) => !set.spread.some((one) => one.topologyKey === key && selects(one.labelSelector, set.labels)))
      .map((key) => `${set.name} is not spread over ${key.split('/')[1]}`),
    ...(set.hasBudget ? [] : [`${set.name} has no budget`]),
    ...(set.resources?.requests?.memory && set.resources.requests.memory === set.resources.limits?.memory
      ? []
      : [
          `${set.name} requests ${set.resources?.requests?.memory} of memory, may use ${set.resources?.limits?.memory}`,
        ]),
  ]);
};
