import {
  type Check,
  containersOf,
  idOf,
  type Manifest,
  ofKind,
  type Probe,
  type Selector,
  type Service,
  selects,
  type Workload,
  workloadsOf,
} from './objects.js';
import { operatedSets } from './operated.js';

/** Every selector of pods finds some, and that of a workload finds its own. */
export const selectorsCheck: Check = (objects) => {
  const workloads = workloadsOf(objects);
  const said = workloads.flatMap((workload) => {
    const { selector, template } = workload.spec;
    const spread = template.spec.topologySpreadConstraints ?? [];
    return [
      ...(selects(selector, template.metadata.labels) ? [] : [`${idOf(workload)} does not select its own pods`]),
      ...spread
        .filter(({ labelSelector }) => !selects(labelSelector, template.metadata.labels))
        .map(() => `${idOf(workload)} does not spread its own pods`),
    ];
  });
  const selectors = [
    ...ofKind<Service>(objects, 'Service').map((service) => [service, { matchLabels: service.spec.selector }] as const),
    ...ofKind<Manifest & { spec: { selector: Selector } }>(objects, 'PodDisruptionBudget').map(
      (budget) => [budget, budget.spec.selector] as const,
    ),
  ];
  return [
    ...said,
    ...selectors
      .filter(([object, selector]) => !workloads.some((one) => finds(object, selector, one)))
      .filter(([, selector]) => !operatedSets(objects).some(({ labels }) => selects(selector, labels)))
      .map(([object]) => `${idOf(object)} selects no pods`),
    ...monitorComplaints(objects),
    ...podMonitorComplaints(objects),
  ];
};

const finds = ({ metadata }: Manifest, selector: Selector, workload: Workload) =>
  metadata.namespace === workload.metadata.namespace && selects(selector, workload.spec.template.metadata.labels);

interface Monitor extends Manifest {
  spec: {
    selector: Selector;
    namespaceSelector?: { matchNames?: string[] };
    endpoints: { port: string; path?: string }[];
  };
}

/** A ServiceMonitor selects Services in the namespaces that it names. */
const monitorComplaints = (objects: Manifest[]) =>
  ofKind<Monitor>(objects, 'ServiceMonitor').flatMap((monitor) => {
    const { selector, namespaceSelector, endpoints } = monitor.spec;
    const places = namespaceSelector?.matchNames ?? [monitor.metadata.namespace];
    const services = ofKind<Service>(objects, 'Service').filter(
      ({ metadata }) => places.includes(metadata.namespace) && selects(selector, metadata.labels),
    );
    const names = services.flatMap(({ spec }) => spec.ports.map(({ name }) => name));
    return [
      ...(services.length > 0 ? [] : [`${idOf(monitor)} selects no Service`]),
      ...endpoints
        .filter(({ port }) => !names.includes(port))
        .map(({ port }) => `${idOf(monitor)} asks a port ${port}`),
      ...endpoints.filter(({ path }) => path !== '/metrics').map(({ path }) => `${idOf(monitor)} asks ${path}`),
    ];
  });

interface PodMonitor extends Manifest {
  spec: { jobLabel?: string; selector: Selector; podMetricsEndpoints: { port: string }[] };
}

/** A PodMonitor selects one kind of operators' pods, whose ports are in no manifest, and takes its job's name from one of their labels. */
const podMonitorComplaints = (objects: Manifest[]) =>
  ofKind<PodMonitor>(objects, 'PodMonitor').flatMap((monitor) => {
    const { jobLabel = '', selector, podMetricsEndpoints } = monitor.spec;
    const sets = operatedSets(objects).filter(({ labels }) => selects(selector, labels));
    return [
      ...(sets.length === 1 ? [] : [`${idOf(monitor)} selects pods of ${sets.length} kinds`]),
      ...sets
        .filter(({ name, labels }) => labels[jobLabel] !== name)
        .map(({ name }) => `${idOf(monitor)} does not call its job ${name}`),
      ...podMetricsEndpoints
        .filter(({ port }) => port !== METRICS_PORT)
        .map(({ port }) => `${idOf(monitor)} asks a port ${port}`),
    ];
  });

/** The name of the port in CloudNativePG's instances and poolers. */
const METRICS_PORT = 'metrics';

/** The app's port agrees everywhere: in its setting, its container, probes, Services and routes. */
export const portsCheck: Check = (objects) => {
  const workloads = workloadsOf(objects);
  const listens = (workload: Workload) => containersOf(workload).flatMap((container) => container.ports ?? []);
  const hasPort = (workload: Workload, wanted: number | string) =>
    listens(workload).some(({ name, containerPort }) => wanted === name || wanted === containerPort);
  const probes = workloads.flatMap((workload) =>
    containersOf(workload)
      .flatMap(({ startupProbe, readinessProbe, livenessProbe }) => [startupProbe, readinessProbe, livenessProbe])
      .flatMap((probe?: Probe) => probe?.httpGet?.port ?? probe?.tcpSocket?.port ?? [])
      .filter((port) => !hasPort(workload, port))
      .map((port) => `${idOf(workload)} is probed at ${port}, where it does not listen`),
  );
  const services = ofKind<Service>(objects, 'Service').flatMap((service) =>
    service.spec.ports
      .map(({ port, targetPort = port }) => targetPort)
      .filter((wanted) =>
        workloads.some((one) => finds(service, { matchLabels: service.spec.selector }, one) && !hasPort(one, wanted)),
      )
      .map((wanted) => `${idOf(service)} leads to ${wanted}, where nobody listens`),
  );
  return [...probes, ...services, ...routeComplaints(objects), ...settingComplaints(objects)];
};

/** Routes use existing ports of Services. */
const routeComplaints = (objects: Manifest[]) =>
  ['HTTPRoute', 'Ingress'].flatMap((kind) =>
    ofKind(objects, kind).flatMap((route) =>
      backendsOf(route)
        .filter(({ name, port }) => {
          const service = ofKind<Service>(objects, 'Service').find(({ metadata }) => metadata.name === name);
          return !service?.spec.ports.some((one) => port === one.port || port === one.name);
        })
        .map(({ name, port }) => `${idOf(route)} leads to ${name}:${port}, which no Service has`),
    ),
  );

interface Backends {
  rules: {
    backendRefs?: { name: string; port: number }[];
    http?: { paths: { backend: { service: { name: string; port: { name?: string; number?: number } } } }[] };
  }[];
}

const backendsOf = (route: Manifest) =>
  (route.spec as Backends).rules.flatMap(({ backendRefs = [], http }) => [
    ...backendRefs,
    ...(http?.paths ?? []).map(({ backend: { service } }) => ({
      name: service.name,
      port: service.port.name ?? service.port.number,
    })),
  ]);

function settingComplaints(objects: Manifest[]): string[] {
  const set = ofKind(objects, 'ConfigMap').find(({ data }) => data?.PORT)?.data?.PORT;
  const app = workloadsOf(objects).find(({ metadata }) => metadata.name === 'floodgate');
  const ports = app?.spec.template.spec.containers.flatMap((container) => container.ports ?? []) ?? [];
  return ports.some(({ containerPort }) => String(containerPort) === set) ? [] : [`PORT is ${set}`];
}
