import { readFileSync } from 'node:fs';
import { loadConfig } from '../../src/config.js';
import {
  appContainerOf,
  appOf,
  appsOf,
  type Check,
  idOf,
  type Manifest,
  mainOf,
  named,
  ofKind,
  workloadsOf,
} from './objects.js';
import { environmentOf } from './settings.js';

const routes = Object.keys(JSON.parse(readFileSync('openapi.json', 'utf8')).paths);

/** Each probe uses a different, existing route of the app. */
export const probesCheck: Check = (objects) => {
  const probes = ['startup', 'readiness', 'liveness'] as const;
  const container = appContainerOf(objects);
  const meant = { startup: '/health/startup', readiness: '/health/ready', liveness: '/health/live' };
  return probes.flatMap((name) => {
    const path = container[`${name}Probe`]?.httpGet?.path;
    if (!path) return [`there is no ${name} probe`];
    if (!routes.includes(path)) return [`the ${name} probe asks ${path}, which the app does not have`];
    return path === meant[name] ? [] : [`the ${name} probe asks ${path}`];
  });
};

/**
 * Containers that hang are restarted; an open port does not count as alive. PostgreSQL is not restarted, since recovery after
 * a crash may take any time.
 */
export const hangingCheck: Check = (objects) =>
  workloadsOf(objects)
    .filter(({ kind, metadata: { name } }) => kind !== 'CronJob' && name !== 'postgres')
    .flatMap((workload) =>
      workload.spec.template.spec.containers
        .filter(({ livenessProbe: probe }) => !probe?.httpGet && !probe?.exec)
        .map(({ name }) => `${idOf(workload)} ${name} may hang for ever`),
    );

/** A stopping pod has enough time to sleep, drain and end before it is killed. */
export const graceCheck: Check = (objects) =>
  appsOf(objects).flatMap(({ spec: { template } }) => {
    const container = mainOf(template.spec);
    const { DRAIN_DELAY_MS, DRAIN_TIMEOUT_MS } = loadConfig(environmentOf(objects, container).environment);
    const sleep = container.lifecycle?.preStop?.sleep?.seconds;
    const grace = template.spec.terminationGracePeriodSeconds ?? 30;
    if (!sleep) return ['no preStop.sleep: requests come in after the listener has gone'];
    const needed = sleep + (DRAIN_DELAY_MS + DRAIN_TIMEOUT_MS) / 1000;
    return grace > needed ? [] : [`terminationGracePeriodSeconds is ${grace}, but to end takes up to ${needed} s`];
  });

/** Where there are workers, jobs are worked by them alone; else by the app. */
export const workersCheck: Check = (objects) => {
  const [app, worker] = appsOf(objects).map(
    ({ spec }) => environmentOf(objects, mainOf(spec.template.spec)).environment,
  );
  const said = [app?.WORKER, worker?.WORKER].join();
  return said === (worker ? 'off,only' : ',') ? [] : [`WORKER is ${said}`];
};

/** A rollout removes no pod before a new one is ready. */
export const strategyCheck: Check = (objects) => {
  const { strategy } = appOf(objects).spec;
  const said = strategy?.rollingUpdate?.maxUnavailable === 0 ? [] : ['maxUnavailable is not 0'];
  const migrates = appOf(objects).spec.template.spec.initContainers?.some(({ name }) => name === 'migrate');
  return migrates ? said : [...said, 'nothing migrates before the app starts'];
};

interface Autoscaler extends Manifest {
  spec: {
    scaleTargetRef: { kind?: string; name: string };
    minReplicas?: number;
    maxReplicas?: number;
    minReplicaCount?: number;
    maxReplicaCount?: number;
  };
}

type ScaledObject = Manifest & { spec: { advanced?: { horizontalPodAutoscalerConfig?: { name?: string } } } };

export const autoscalersOf = (objects: Manifest[]) => [
  ...ofKind<Autoscaler>(objects, 'HorizontalPodAutoscaler'),
  ...ofKind<Autoscaler>(objects, 'ScaledObject'),
];

/** Exactly one autoscaler, and nothing else, sets the number of pods. */
export const scalersCheck: Check = (objects) => {
  const scaled = autoscalersOf(objects).map(({ spec }) => spec.scaleTargetRef.name);
  const lost = scaled.filter((name) => !ofKind(objects, 'Deployment').some(({ metadata }) => metadata.name === name));
  const both = workloadsOf(objects).filter(
    ({ metadata, spec }) => scaled.includes(metadata.name) && spec.replicas !== undefined,
  );
  const app = scaled.filter((name) => name === 'floodgate').length;
  return [
    ...lost.map((name) => `an autoscaler wants a Deployment ${name}`),
    ...both.map((workload) => `${idOf(workload)} has replicas and an autoscaler`),
    ...(app === 1 ? [] : [`${app} autoscalers for one Deployment`]),
    ...ofKind<ScaledObject>(objects, 'ScaledObject')
      .filter(({ metadata: { name } }) => name === 'floodgate')
      .filter(
        ({ metadata: { annotations }, spec }) =>
          annotations?.['scaledobject.keda.sh/transfer-hpa-ownership'] !== 'true' ||
          spec.advanced?.horizontalPodAutoscalerConfig?.name !== 'floodgate',
      )
      .map((scaler) => `${idOf(scaler)} does not take over the HPA of the base`),
    ...autoscalersOf(objects).flatMap((scaler) => {
      const {
        minReplicas,
        maxReplicas,
        minReplicaCount = minReplicas ?? 1,
        maxReplicaCount = maxReplicas,
      } = scaler.spec;
      if (minReplicaCount < 2) return [`${idOf(scaler)} may leave one pod, whose node may go`];
      return (maxReplicaCount ?? 0) > minReplicaCount ? [] : [`${idOf(scaler)} cannot scale`];
    }),
  ];
};

interface Budget extends Manifest {
  spec: { minAvailable?: number | string; maxUnavailable?: number | string; unhealthyPodEvictionPolicy?: string };
}

/** The budget has one bound (the API does not accept two), from above, so that nodes can be drained with any number of pods. */
export const budgetCheck: Check = (objects) => {
  const { spec } = named<Budget>(objects, 'PodDisruptionBudget', 'floodgate');
  const said = [spec.minAvailable, spec.maxUnavailable].filter((bound) => bound !== undefined).length;
  return [
    ...(said === 1 ? [] : [`the budget has ${said} bounds`]),
    ...(spec.maxUnavailable ? [] : ['the budget lets no pod go']),
    ...(spec.unhealthyPodEvictionPolicy === 'AlwaysAllow' ? [] : ['a broken pod keeps its node from being drained']),
  ];
};
