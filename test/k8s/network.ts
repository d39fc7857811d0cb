import { BlockList } from 'node:net';
import {
  appContainerOf,
  type Check,
  containersOf,
  type Labels,
  type Manifest,
  ofKind,
  type Selector,
  selects,
  workloadsOf,
} from './objects.js';
import { environmentOf } from './settings.js';

interface Peer {
  podSelector?: Selector;
  namespaceSelector?: Selector;
  ipBlock?: { cidr: string; except?: string[] };
}

interface Rule {
  from?: Peer[];
  to?: Peer[];
  ports?: { port: number | string; protocol?: string }[];
}

interface Policy extends Manifest {
  spec: { podSelector: Selector; policyTypes: string[]; ingress?: Rule[]; egress?: Rule[] };
}

/** An end of a connection: a pod, or an address outside of the cluster, which has no namespace. */
interface Party {
  name: string;
  namespace?: string;
  /** The address when it is not a pod. */
  address?: string;
  labels: Labels;
  /** The ports on which it listens, with a container's names. */
  ports: { name?: string; containerPort: number }[];
}

const NAME = 'app.kubernetes.io/name';
const ports = (...numbers: number[]) => numbers.map((containerPort) => ({ containerPort }));

/** Parties besides the rendered ones. */
const OTHERS: Party[] = [
  { name: 'prometheus', namespace: 'monitoring', labels: { [NAME]: 'prometheus' }, ports: ports(9090) },
  { name: 'dns', namespace: 'kube-system', labels: { 'k8s-app': 'kube-dns' }, ports: ports(53) },
  { name: 'nginx-fabric', namespace: 'nginx-gateway', labels: {}, ports: ports(8443) },
  { name: 'cloudnative-pg', namespace: 'cnpg-system', labels: {}, ports: ports(9443) },
  { name: 'stranger', namespace: 'floodgate', labels: {}, ports: ports(8080) },
  { name: 'neighbor', namespace: 'elsewhere', labels: { [NAME]: 'floodgate' }, ports: ports(3000) },
  {
    name: 'openshift-dns',
    namespace: 'openshift-dns',
    labels: { 'dns.operator.openshift.io/daemonset-dns': 'default' },
    ports: ports(5353),
  },
  { name: 'dns-on-node', address: '169.254.20.10', labels: {}, ports: ports(53) },
  { name: 'cloud-metadata', address: '169.254.169.254', labels: {}, ports: ports(80, 443) },
  { name: 'internet', address: '203.0.113.7', labels: {}, ports: ports(53, 80, 443, 5432, 6379, 6443) },
];

/** The intended connections: sources, targets and ports. Parties that do not exist are skipped. */
const MEANT: [sources: string, targets: string, ...ports: number[]][] = [
  ['prometheus gateway ingress', 'floodgate', 3000],
  ['prometheus', 'floodgate-worker', 3000],
  ['floodgate floodgate-worker', 'redis', 6379],
  ['floodgate floodgate-worker', 'postgres floodgate-db floodgate-db-pooler', 5432],
  ['inside', 'dns dns-on-node', 53],
  ['inside', 'openshift-dns', 5353],
  ['floodgate', 'collector', 4318],
  ['outside', 'gateway', 80, 443],
  ['gateway', 'nginx-fabric', 8443],
  ['floodgate-db floodgate-db-pooler cloudnative-pg', 'floodgate-db floodgate-db-pooler', 5432, 8000],
  ['prometheus', 'floodgate-db', 9187],
  ['prometheus', 'floodgate-db-pooler', 9127],
  ['floodgate-db floodgate-db-pooler', 'internet', 443, 6443],
];

/** The policies, as Kubernetes evaluates them, allow exactly the intended connections. */
export const networkCheck: Check = (objects) => {
  const policies = ofKind<Policy>(objects, 'NetworkPolicy');
  const parties = [...partiesOf(objects), collectorOf(objects), ...OTHERS];
  return parties.flatMap((source) =>
    parties
      .filter((target) => target !== source)
      .flatMap((target) =>
        // One more port than the target has, for rules without ports.
        [...target.ports, ...ports(9999)].flatMap((port) =>
          ['TCP', 'UDP'].flatMap((protocol) => {
            const isOpen = isAllowed(policies, source, target, port, protocol);
            if (isOpen === isMeant(source, target, port.containerPort, protocol)) return [];
            const isOurs = [source, target].some(({ namespace }) => namespace === 'floodgate');
            const flow = `${source.name} > ${target.name}:${port.containerPort}/${protocol}`;
            return isOurs ? [`${flow} is ${isOpen ? 'open' : 'shut'}`] : [];
          }),
        ),
      ),
  );
};

function partiesOf(objects: Manifest[]): Party[] {
  const workloads = workloadsOf(objects).map((workload) => ({
    name: workload.metadata.name,
    namespace: workload.metadata.namespace as string,
    labels: workload.spec.template.metadata.labels,
    ports: containersOf(workload).flatMap((container) => container.ports ?? []),
  }));
  // Pods that operators start.
  const started = (kind: string, name: string, made: (spec: never) => Omit<Party, 'name'>) =>
    ofKind(objects, kind).map(({ spec, metadata }) => ({ name: name || metadata.name, ...made(spec as never) }));
  const namespace = 'floodgate';
  return [
    ...workloads,
    ...started('Cluster', '', (spec: { inheritedMetadata?: { labels?: Labels } }) => ({
      namespace,
      labels: { 'cnpg.io/instanceName': 'floodgate-db-1', ...spec.inheritedMetadata?.labels },
      ports: ports(5432, 8000, 9187),
    })),
    ...started('Pooler', '', (spec: { template?: { metadata?: { labels?: Labels } } }) => ({
      namespace,
      labels: { ...spec.template?.metadata?.labels },
      ports: ports(5432, 9127),
    })),
    ...started('Gateway', 'gateway', () => ({
      namespace,
      labels: { 'gateway.networking.k8s.io/gateway-name': 'floodgate' },
      ports: ports(80, 443),
    })),
    ...started('Ingress', 'ingress', () => ({ namespace: 'ingress', labels: {}, ports: ports(443) })),
  ];
}

/** The collector to which traces are sent; if they are not, a collector that nobody should reach. */
function collectorOf(objects: Manifest[]): Party {
  const endpoint = environmentOf(objects, appContainerOf(objects)).environment.OTEL_EXPORTER_OTLP_ENDPOINT;
  const [name, namespace] = endpoint
    ? new URL(endpoint).hostname.split('.')
    : ['opentelemetry-collector', 'opentelemetry'];
  return { name: endpoint ? 'collector' : 'unused', namespace, labels: { [NAME]: name as string }, ports: ports(4318) };
}

const isMeant = (source: Party, target: Party, port: number, protocol: string) =>
  (protocol === 'TCP' || target.name.includes('dns')) &&
  MEANT.some(
    ([sources, targets, ...numbers]) =>
      sources.split(' ').some((word) => isCalled(source, word)) &&
      targets.split(' ').some((word) => isCalled(target, word)) &&
      numbers.includes(port),
  );

function isCalled({ name, namespace }: Party, word: string): boolean {
  if (word === 'inside') return namespace === 'floodgate';
  if (word === 'outside') return namespace !== 'floodgate';
  return word === name;
}

/** Whether both ends allow a connection; a pod that a policy selects allows only what one of its policies names. */
function isAllowed(policies: Policy[], source: Party, target: Party, port: Party['ports'][number], protocol: string) {
  const passes = (self: Party, other: Party, type: 'Ingress' | 'Egress') => {
    const about = policies.filter(
      ({ metadata, spec }) =>
        metadata.namespace === self.namespace &&
        spec.policyTypes.includes(type) &&
        selects(spec.podSelector, self.labels),
    );
    return (
      about.length === 0 ||
      about.some(({ metadata, spec }) =>
        (type === 'Ingress' ? spec.ingress : spec.egress)?.some((rule) => {
          const peers = type === 'Ingress' ? rule.from : rule.to;
          const isPeer = !peers || peers.some((peer) => fits(peer, other, metadata.namespace as string));
          return isPeer && (!rule.ports || rule.ports.some((one) => isPort(one, port, protocol)));
        }),
      )
    );
  };
  return passes(source, target, 'Egress') && passes(target, source, 'Ingress');
}

function fits({ podSelector, namespaceSelector, ipBlock }: Peer, party: Party, namespace: string): boolean {
  if (ipBlock) return party.address !== undefined && isWithin(party.address, ipBlock);
  if (party.namespace === undefined) return false;
  const isThere = namespaceSelector
    ? selects(namespaceSelector, { 'kubernetes.io/metadata.name': party.namespace })
    : party.namespace === namespace;
  return isThere && selects(podSelector ?? {}, party.labels);
}

function isWithin(address: string, { cidr, except = [] }: { cidr: string; except?: string[] }): boolean {
  const has = (range: string) => {
    const [net = '', prefix] = range.split('/');
    // No outside address here has IPv6; a BlockList would match IPv4 addresses with it, too.
    if (net.includes(':')) return false;
    const list = new BlockList();
    list.addSubnet(net, Number(prefix));
    return list.check(address);
  };
  return has(cidr) && !except.some(has);
}

const isPort = (rule: { port: number | string; protocol?: string }, port: Party['ports'][number], protocol: string) =>
  (rule.port === port.containerPort || rule.port === port.name) && (rule.protocol ?? 'TCP') === protocol;
