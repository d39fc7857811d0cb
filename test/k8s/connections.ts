import { loadConfig } from '../../src/config.js';
import { appContainerOf, appOf, type Check, type Manifest, ofKind } from './objects.js';
import { autoscalersOf } from './rollout.js';
import { environmentOf } from './settings.js';

interface Cluster extends Manifest {
  spec: { postgresql: { parameters: Record<string, string> } };
}

interface Pooler extends Manifest {
  spec: { instances: number; pgbouncer: { parameters: Record<string, string> } };
}

/** Beside the pool and the streams: 2 for short reads, 1 to look whether PostgreSQL is alive. docs/operations.md. */
const OWN = 3;

/** As many pods as there may be, in a rollout too, find a connection. */
export const connectionsCheck: Check = (objects) => {
  const config = loadConfig(environmentOf(objects, appContainerOf(objects)).environment);
  const surge = Number.parseInt(String(appOf(objects).spec.strategy?.rollingUpdate?.maxSurge), 10) / 100;
  const most = Math.max(...autoscalersOf(objects).map(({ spec }) => spec.maxReplicaCount ?? spec.maxReplicas ?? 0));
  const needed = Math.ceil(most * (1 + surge)) * (config.DATABASE_POOL_SIZE + config.STREAM_CONCURRENCY + OWN);
  const places = [
    ...ofKind<Cluster>(objects, 'Cluster').map(({ spec }) => Number(spec.postgresql.parameters.max_connections)),
    ...ofKind<Pooler>(objects, 'Pooler').map(
      ({ spec }) => spec.instances * Number(spec.pgbouncer.parameters.max_client_conn),
    ),
    // PostgreSQL's default.
    ...objects.filter(({ kind, metadata }) => kind === 'StatefulSet' && metadata.name === 'postgres').map(() => 100),
  ];
  return places.filter((has) => needed >= has).map((has) => `${most} pods may take ${needed} connections of ${has}`);
};
