import { loadConfig } from '../../src/config.js';
import { appContainerOf, appsOf, type Check, type Manifest, mainOf, ofKind, type Workload } from './objects.js';
import { autoscalersOf } from './rollout.js';
import { environmentOf } from './settings.js';

interface Cluster extends Manifest {
  spec: { postgresql: { parameters: Record<string, string> } };
}

interface Pooler extends Manifest {
  spec: { instances: number; pgbouncer: { parameters: Record<string, string> } };
}

/** Connections besides the pool and the streams: 2 for short reads, 1 to check whether PostgreSQL is up. See docs/operations.md. */
const OWN = 3;
/** Connections for jobs, which are to the primary alone. */
const JOBS = 2;

/** Reserved for superusers, PostgreSQL's default (superuser_reserved_connections), and in a cluster for its operator and standbys. */
const RESERVED = { server: 3, cluster: 20 };

/** The largest possible number of pods, including those that start and stop in a rollout, has enough connections. */
export const connectionsCheck: Check = (objects) => {
  const { DATABASE_POOL_SIZE, STREAM_CONCURRENCY } = configOf(objects);
  const pods = appsOf(objects).map((app) => podsOf(objects, app));
  const [most, atOnce] = [sum(pods.map((of) => of.most)), sum(pods.map((of) => of.atOnce))];
  const ofReplica = atOnce * (DATABASE_POOL_SIZE + STREAM_CONCURRENCY + OWN);
  const ofPrimary = ofReplica + atOnce * JOBS;
  const poolers = ofKind<Pooler>(objects, 'Pooler').map(({ spec }) => spec);
  const lent = poolers.reduce(
    (sum, { instances, pgbouncer }) => sum + instances * Number(pgbouncer.parameters.default_pool_size),
    0,
  );
  const places = [
    // A replica that is promoted keeps the pods' connections, and gets those of the poolers.
    ...ofKind<Cluster>(objects, 'Cluster').map(({ spec }) => ({
      needed: ofReplica,
      has: Number(spec.postgresql.parameters.max_connections) - RESERVED.cluster - lent,
    })),
    // While one of them is down, the others have all connections.
    ...poolers.map(({ instances, pgbouncer }) => ({
      needed: ofPrimary,
      has: (instances - 1) * Number(pgbouncer.parameters.max_client_conn),
    })),
    // PostgreSQL's default.
    ...objects
      .filter(({ kind, metadata }) => kind === 'StatefulSet' && metadata.name === 'postgres')
      .map(() => ({ needed: ofPrimary, has: 100 - RESERVED.server })),
  ];
  return places
    .filter(({ needed, has }) => needed > has)
    .map(({ needed, has }) => `${most} pods may take ${needed} connections of ${has}`);
};

const sum = (numbers: number[]) => numbers.reduce((all, one) => all + one, 0);

const configOf = (objects: Manifest[]) => loadConfig(environmentOf(objects, appContainerOf(objects)).environment);

/**
 * The most pods that an autoscaler may start, and the number that hold connections at once: those, the surge of a rollout, and as
 * many stopping ones, if new ones count as available only when the last ones have stopped (minReadySeconds).
 */
function podsOf(objects: Manifest[], { metadata: { name }, spec }: Workload): { most: number; atOnce: number } {
  const { strategy, minReadySeconds = 0, template } = spec;
  const scalers = autoscalersOf(objects).filter((scaler) => scaler.spec.scaleTargetRef.name === name);
  const most = Math.max(...scalers.map((scaler) => scaler.spec.maxReplicaCount ?? scaler.spec.maxReplicas ?? 0));
  const surge = Math.ceil((most * Number.parseInt(String(strategy?.rollingUpdate?.maxSurge), 10)) / 100);
  const container = mainOf(template.spec);
  const { DRAIN_DELAY_MS, DRAIN_TIMEOUT_MS } = loadConfig(environmentOf(objects, container).environment);
  const sleep = container.lifecycle?.preStop?.sleep?.seconds ?? 0;
  const endS = sleep + (DRAIN_DELAY_MS + DRAIN_TIMEOUT_MS) / 1000;
  const ending = minReadySeconds > 0 ? Math.min(most, surge * Math.ceil(endS / minReadySeconds)) : most;
  return { most, atOnce: most + surge + ending };
}
