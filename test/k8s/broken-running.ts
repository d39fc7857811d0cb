import { APP, type Break, type Breaks, MIGRATE, POD } from './broken.js';
import type { Manifest } from './objects.js';

const JOB = `/spec/jobTemplate${APP}`;

/** Broken starts, stops and scaling. */
export const RUNNING = {
  'starts with the settings of the manifests': [
    ['ConfigMap/floodgate', '/data/DRAIN_DELAY', '5000', 'DRAIN_DELAY is no setting'],
    ['ConfigMap/floodgate', '/data/DRAIN_DELAY_MS', '5s', 'DRAIN_DELAY_MS must be a whole number'],
    ['ConfigMap/floodgate', '/data/TRUST_PROXY', 'true', 'TRUST_PROXY must be a number of proxies'],
    ['ConfigMap/floodgate', '/data/NODE_ENV', 'development', 'NODE_ENV is not production'],
    ['ConfigMap/floodgate', '/data/MIGRATE_ON_START', undefined, 'MIGRATE_ON_START is not false'],
    ['Deployment/floodgate', `${APP}/env/1`, undefined, 'floodgate: DATABASE_URL is missing'],
    ['Deployment/floodgate', `${MIGRATE}/env/1`, undefined, 'migrate: DATABASE_URL is missing'],
    ['Deployment/floodgate', `${APP}/env/0`, undefined, 'DATABASE_URL names a variable that does not come before it'],
    ['Deployment/floodgate', `${APP}/env/0/value`, 'x', 'has a value of its own and one from elsewhere'],
    [
      'Deployment/floodgate',
      `${APP}/env/5/valueFrom/secretKeyRef/key`,
      'APP_KEY',
      'floodgate/APP_KEY, which nothing makes',
    ],
  ],
  'holds no secret': [
    ['Service/floodgate', '/kind', 'Secret', 'Secret/floodgate is in the repository'],
    ['ConfigMap/floodgate', '/data/APP_SECRET', 'a'.repeat(32), 'holds APP_SECRET'],
    ['Deployment/floodgate', `${APP}/env/1/value`, 'postgres://app:word@host/floodgate', 'DATABASE_URL in the open'],
    [
      'StatefulSet/redis',
      `${APP}/args`,
      ['--requirepass', '$(REDIS_PASSWORD)'],
      'has REDIS_PASSWORD among its arguments',
    ],
  ],
  'allows the first password to be removed': [
    [
      'Deployment/floodgate',
      `${APP}/env/8/valueFrom/secretKeyRef/name`,
      'floodgate',
      'floodgate holds more than ADMIN_',
    ],
    ['Deployment/floodgate', `${APP}/env/8/valueFrom/secretKeyRef/optional`, false, 'may not be missing'],
    ['Deployment/floodgate', `${MIGRATE}/env/0/name`, 'ADMIN_EMAIL', '3 variables for the first admin'],
  ],
  'serves with a role that cannot change the schema': [
    ['Deployment/floodgate', `${APP}/env/1/name`, 'DATABASE_MIGRATION_URL', 'floodgate is told how to migrate'],
    [
      'Deployment/floodgate',
      `${APP}/env/1/value`,
      'postgres://floodgate:$(DATABASE_PASSWORD)@db/x',
      'floodgate serves',
    ],
    ['Deployment/floodgate', `${MIGRATE}/env/1/value`, 'postgres://other@db/x', 'floodgate_app serves'],
    ['Deployment/floodgate', `${MIGRATE}/env/3/value`, 'postgres://floodgate_app@db/x', 'migrates is not the owner'],
    ['Deployment/floodgate', `${MIGRATE}/env/3`, undefined, 'who migrates is not the owner'],
    ['Cluster/floodgate-db', '/spec/managed/roles', [], 'floodgate_app may not log in'],
    ['Cluster/floodgate-db', '/spec/managed/roles/0/inRoles', ['floodgate'], 'may be more than itself'],
    ['Cluster/floodgate-db', '/spec/managed/roles/0/superuser', true, 'may be more than itself'],
  ],
  'probes three routes that the app has': [
    ['Deployment/floodgate', `${APP}/startupProbe`, undefined, 'there is no startup probe'],
    [
      'Deployment/floodgate',
      `${APP}/readinessProbe/httpGet/path`,
      '/health',
      'asks /health, which the app does not have',
    ],
    [
      'Deployment/floodgate',
      `${APP}/livenessProbe/httpGet/path`,
      '/health/ready',
      'the liveness probe asks /health/ready',
    ],
  ],
  'restarts containers that hang': [
    ['StatefulSet/redis', `${APP}/livenessProbe`, undefined, 'redis may hang for ever'],
    ['StatefulSet/redis', `${APP}/livenessProbe`, { tcpSocket: { port: 'redis' } }, 'redis may hang for ever'],
    ['DaemonSet/fluent-bit', `${APP}/livenessProbe`, undefined, 'fluent-bit may hang for ever'],
  ],
  'works jobs in one place': [
    ['Deployment/floodgate-worker', `${APP}/env/0/value`, 'on', 'WORKER is off,on'],
    ['Deployment/floodgate-worker', '', undefined, 'WORKER is off'],
  ],
  'gives a pod enough time to stop': [
    ['Deployment/floodgate', `${POD}/terminationGracePeriodSeconds`, 30, 'is 30, but to end takes up to 30 s'],
    ['ConfigMap/floodgate', '/data/DRAIN_TIMEOUT_MS', '60000', 'to end takes up to 70 s'],
    ['Deployment/floodgate', `${APP}/lifecycle/preStop/sleep`, undefined, 'no preStop.sleep'],
  ],
  'removes no pod before a new one is ready': [
    ['Deployment/floodgate', '/spec/strategy/rollingUpdate/maxUnavailable', undefined, 'maxUnavailable is not 0'],
    ['Deployment/floodgate', MIGRATE, undefined, 'nothing migrates'],
  ],
  'has one autoscaler, and no fixed number of replicas': [
    ['Deployment/floodgate', '/spec/replicas', 3, 'Deployment/floodgate has replicas and an autoscaler'],
    ['ScaledObject/floodgate', '', undefined, '0 autoscalers for one Deployment'],
    ['ScaledObject/floodgate', '/spec/scaleTargetRef/name', 'other', 'wants a Deployment other'],
    ['PodDisruptionBudget/floodgate', '', autoscaler(), '2 autoscalers for one Deployment'],
    ['ScaledObject/floodgate', '/metadata/annotations', {}, 'does not take over the HPA of the base'],
    ['ScaledObject/floodgate', '/spec/advanced/horizontalPodAutoscalerConfig/name', 'x', 'does not take over the HPA'],
    ['ScaledObject/floodgate', '/spec/minReplicaCount', 1, 'may leave one pod'],
    ['ScaledObject/floodgate', '/spec/maxReplicaCount', 6, 'cannot scale'],
  ],
  'has connections for all its pods': [
    ['ScaledObject/floodgate', '/spec/maxReplicaCount', 30, '30 pods may take 690 connections of 580'],
    ['ConfigMap/floodgate', '/data/DATABASE_POOL_SIZE', '20', '24 pods may take 900 connections of 580'],
    ['Pooler/floodgate-db-pooler', '/spec/instances', 1, '24 pods may take 612 connections of 0'],
    ['Pooler/floodgate-db-pooler', '/spec/pgbouncer/parameters/default_pool_size', '100', 'connections of 480'],
    ['Deployment/floodgate', '/spec/minReadySeconds', undefined, '24 pods may take 810 connections of 580'],
    ['ConfigMap/floodgate', '/data/DRAIN_TIMEOUT_MS', '30000', '24 pods may take 630 connections of 580'],
  ],
  'scales by metrics that are served': [
    ['HorizontalPodAutoscaler/floodgate', '/spec/metrics/1/pods/metric/name', 'qps', 'asks for qps: nobody serves it'],
    ['HorizontalPodAutoscaler/floodgate', '/spec/metrics/1', undefined, 'nobody asks for http_requests_per_second'],
    ['HorizontalPodAutoscaler/floodgate', '/spec/metrics/0', undefined, 'does not mind CPU'],
  ],
  'ships its log without filling a node': [
    ['DaemonSet/fluent-bit', `${POD}/volumes/4/emptyDir/sizeLimit`, undefined, 'bytes that are not sent in 0'],
    ['DaemonSet/fluent-bit', `${POD}/volumes/4/emptyDir/sizeLimit`, '512M', 'keeps 512000000 bytes'],
    ['DaemonSet/fluent-bit', `${APP}/resources/limits/memory`, '48Mi', 'its chunks take its memory'],
    ['DaemonSet/fluent-bit', `${APP}/volumeMounts/2/readOnly`, undefined, "writes to the node's logs"],
    ['DaemonSet/fluent-bit', `${POD}/tolerations`, undefined, 'leaves tainted nodes out'],
    ['DaemonSet/fluent-bit', `${APP}/livenessProbe/httpGet/path`, '/api/v1/health', 'is restarted for Elasticsearch'],
    shipping('      storage.total_limit_size: 512M\n', '', 'keeps 0 bytes'),
    shipping('retry_limit: 720', 'retry_limit: no_limits', 'tries no_limits'),
    shipping('storage.max_chunks_up: 16', '', 'its chunks take its memory'),
    shipping('/var/spool', '/var/lib', 'not sent in 0'),
  ],
  'keeps its log for a limited time': [
    [
      'CronJob/log-retention',
      `${JOB}/env/0/value`,
      '',
      'logs-floodgate-default/_lifecycle is told {"data_retention":""}',
    ],
    ['CronJob/log-retention', `${JOB}/command/2`, 'exit 0', '_component_template/logs@custom is told undefined'],
  ],
  'spreads over zones, and stops one pod at a time': [
    ['Deployment/floodgate', `${POD}/topologySpreadConstraints/0`, undefined, 'floodgate is not spread over zone'],
    [
      'Cluster/floodgate-db',
      '/spec/topologySpreadConstraints/1',
      undefined,
      'floodgate-db is not spread over hostname',
    ],
    [
      'Cluster/floodgate-db',
      '/spec/topologySpreadConstraints/0/labelSelector/matchLabels/a',
      'b',
      'floodgate-db is not spread over zone',
    ],
    ['Cluster/floodgate-db', '/spec/enablePDB', false, 'floodgate-db has no budget'],
    [
      'Cluster/floodgate-db',
      '/spec/resources/limits',
      undefined,
      'floodgate-db requests 4Gi of memory, may use undefined',
    ],
    ['Pooler/floodgate-db-pooler', `${POD}/topologySpreadConstraints/0`, undefined, 'pooler is not spread over zone'],
    ['Pooler/floodgate-db-pooler', `${APP}/resources`, undefined, 'may use undefined'],
    [
      'NginxProxy/floodgate',
      '/spec/kubernetes/deployment/replicas',
      1,
      'the gateway floodgate is not spread over zone',
    ],
    [
      'NginxProxy/floodgate',
      '/spec/kubernetes/deployment/pod',
      undefined,
      'gateway floodgate is not spread over hostname',
    ],
    [
      'NginxProxy/floodgate',
      '/spec/kubernetes/deployment/container',
      undefined,
      'gateway floodgate requests undefined',
    ],
    ['PodDisruptionBudget/gateway', '', undefined, 'the gateway floodgate has no budget'],
    ['PodDisruptionBudget/floodgate-db-pooler', '', undefined, 'floodgate-db-pooler has no budget'],
  ],
  'allows nodes to be drained, one pod at a time': [
    ['PodDisruptionBudget/floodgate', '/spec/minAvailable', 2, 'the budget has 2 bounds'],
    ['PodDisruptionBudget/floodgate', '/spec/maxUnavailable', 0, 'the budget lets no pod go'],
    [
      'PodDisruptionBudget/floodgate',
      '/spec/unhealthyPodEvictionPolicy',
      undefined,
      'keeps its node from being drained',
    ],
  ],
} satisfies Breaks;

/** Replaces a text in Fluent Bit's file. */
function shipping(text: string, instead: string, says: string): Break {
  return ['ConfigMap/fluent-bit', '/data/fluent-bit.yaml', (file: string) => file.replace(text, instead), says];
}

function autoscaler(): Manifest {
  const metadata = { name: 'floodgate', namespace: 'floodgate' };
  return {
    apiVersion: 'v2',
    kind: 'HorizontalPodAutoscaler',
    metadata,
    spec: { scaleTargetRef: { name: 'floodgate' } },
  };
}
