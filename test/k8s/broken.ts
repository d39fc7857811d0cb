import type { CheckName } from './checks.js';
import type { Manifest } from './objects.js';

/** What to break: the object (without the hash of its name), the field, its new value (undefined takes it away), and what is said. */
export type Break = [object: string, path: string, value: unknown, says: string];

const POD = '/spec/template/spec';
const MIGRATE = `${POD}/initContainers/0`;
const APP = `${POD}/containers/0`;

/** One of everything, and how each check would miss it. */
export const BROKEN: Record<CheckName, Break[]> = {
  'has only fields that exist, of the right type': [
    ['Deployment/floodgate', '/spec/strategy/type', 'Rolling', '/strategy/type must be equal to one of'],
    ['Deployment/floodgate', `${APP}/ports/0/containerPort`, '3000', '/ports/0/containerPort must be integer'],
    ['Deployment/floodgate', '/spec/selector', undefined, 'must have required property selector'],
    ['ScaledObject/floodgate', '/spec/scaleTargetRef/name', undefined, 'required property'],
    ['Cluster/floodgate-db', '/spec/instances', 'three', '/instances must be integer'],
    ['Pooler/floodgate-db-pooler', '/spec/type', 'all', 'must be equal to one of'],
    ['Gateway/floodgate', '/spec/listeners/0/port', '80', 'must be integer'],
    ['RateLimitPolicy/floodgate', '/spec/rateLimit/local/rules/0/rate', '100/s', '/rate Invalid string'],
    ['Elasticsearch/floodgate', '/spec/nodeSets/0/podTemplate/spec/containers/0/name', undefined, '/podTemplate'],
    ['Service/floodgate', '/apiVersion', 'v2', 'no schema for v2'],
  ],
  'selects the pods that it means': [
    ['Service/floodgate', '/spec/selector/app.kubernetes.io~1name', 'other', 'Service/floodgate selects no pods'],
    ['PodDisruptionBudget/floodgate', '/spec/selector/matchLabels/a', 'b', 'PodDisruptionBudget/floodgate selects no'],
    ['Deployment/floodgate', '/spec/selector/matchLabels/a', 'b', 'does not select its own pods'],
    [
      'Deployment/floodgate',
      `${POD}/topologySpreadConstraints/0/labelSelector/matchLabels/a`,
      'b',
      'does not spread its',
    ],
    ['ServiceMonitor/floodgate', '/spec/selector/matchLabels/a', 'b', 'ServiceMonitor/floodgate selects no Service'],
    ['ServiceMonitor/floodgate', '/spec/endpoints/0/port', 'metrics', 'asks a port metrics'],
    ['ServiceMonitor/floodgate', '/spec/endpoints/0/path', '/metric', 'asks /metric'],
  ],
  'agrees on ports': [
    ['Deployment/floodgate', `${APP}/readinessProbe/httpGet/port`, 3001, 'is probed at 3001'],
    ['StatefulSet/redis', `${APP}/readinessProbe/tcpSocket/port`, 'other', 'is probed at other'],
    ['Service/floodgate', '/spec/ports/0/targetPort', 3001, 'Service/floodgate leads to 3001'],
    ['Service/redis', '/spec/ports/0/targetPort', 'other', 'Service/redis leads to other'],
    ['HTTPRoute/floodgate', '/spec/rules/0/backendRefs/0/port', 3000, 'leads to floodgate:3000, which no Service has'],
    ['Ingress/floodgate', '/spec/rules/0/http/paths/0/backend/service/port/name', 'web', 'leads to floodgate:web'],
    ['ConfigMap/floodgate', '/data/PORT', '8080', 'PORT is 8080'],
  ],
  'names only what is there': [
    ['Deployment/floodgate', `${POD}/serviceAccountName`, 'other', 'ServiceAccount/floodgate/other'],
    ['Deployment/floodgate', `${APP}/envFrom/0/configMapRef/name`, 'floodgate', 'ConfigMap/floodgate/floodgate'],
    ['Deployment/floodgate', `${APP}/env/5/valueFrom/secretKeyRef/name`, 'other', 'Secret/floodgate/other'],
    ['DaemonSet/fluent-bit', `${POD}/volumes/1/secret/secretName`, 'other', 'Secret/logging/other'],
    ['HTTPRoute/floodgate', '/spec/parentRefs/0/name', 'other', 'Gateway/floodgate/other'],
    ['HTTPRoute/floodgate', '/spec/rules/0/backendRefs/0/name', 'other', 'Service/floodgate/other'],
    ['Gateway/floodgate', '/spec/listeners/1/tls/certificateRefs/0/name', 'other', 'Secret/floodgate/other'],
    ['Gateway/floodgate', '/spec/infrastructure/parametersRef/name', 'other', 'NginxProxy/floodgate/other'],
    ['RateLimitPolicy/floodgate', '/spec/targetRefs/0/name', 'other', 'Gateway/floodgate/other'],
    [
      'ObjectStore/floodgate-db',
      '/spec/configuration/s3Credentials/accessKeyId/name',
      'other',
      'Secret/floodgate/other',
    ],
    ['Pooler/floodgate-db-pooler', '/spec/cluster/name', 'other', 'Cluster/floodgate/other'],
    ['Cluster/floodgate-db', '/spec/plugins/0/parameters/barmanObjectName', 'other', 'ObjectStore/floodgate/other'],
    ['Kibana/floodgate', '/spec/elasticsearchRef/name', 'other', 'Elasticsearch/logging/other'],
    ['Elasticsearch/floodgate', '/spec/auth/fileRealm/0/secretName', 'other', 'Secret/logging/other'],
    ['Ingress/floodgate', '/spec/tls/0/secretName', 'other', 'Secret/floodgate/other'],
  ],
  'leads to servers that are there': [
    ['Service/redis', '', undefined, 'REDIS_URL leads to redis'],
    ['Pooler/floodgate-db-pooler', '', undefined, 'DATABASE_URL leads to floodgate-db-pooler'],
    ['Cluster/floodgate-db', '/spec/managed', {}, 'DATABASE_REPLICA_URLS leads to floodgate-db-replica'],
    ['Cluster/floodgate-db', '/metadata/name', 'db', 'DATABASE_MIGRATION_URL leads to floodgate-db-rw'],
  ],
  'hangs its routes on listeners': [
    ['HTTPRoute/floodgate', '/spec/parentRefs/0/sectionName', 'tls', 'hangs on a listener tls'],
    // Then it would be served without TLS, too.
    ['HTTPRoute/floodgate', '/spec/parentRefs/0/sectionName', undefined, 'hangs on a listener undefined'],
  ],
  'says where each object goes': [
    ['Service/floodgate', '/metadata/namespace', undefined, 'Service/floodgate has no namespace'],
  ],
  'mounts its volumes': [
    ['DaemonSet/fluent-bit', `${APP}/volumeMounts/0/name`, 'other', 'mounts other, which is not there'],
    ['DaemonSet/fluent-bit', `${APP}/volumeMounts/0`, undefined, 'mounts config nowhere'],
  ],
  'starts with what it sets': [
    ['ConfigMap/floodgate', '/data/DRAIN_DELAY', '5000', 'DRAIN_DELAY is no setting'],
    ['ConfigMap/floodgate', '/data/DRAIN_DELAY_MS', '5s', 'DRAIN_DELAY_MS must be a whole number'],
    ['ConfigMap/floodgate', '/data/TRUST_PROXY', '1', 'TRUST_PROXY must be addresses'],
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
  'gives a pod the time to end': [
    ['Deployment/floodgate', `${POD}/terminationGracePeriodSeconds`, 30, 'is 30, but to end takes up to 30 s'],
    ['ConfigMap/floodgate', '/data/DRAIN_TIMEOUT_MS', '60000', 'to end takes up to 70 s'],
    ['Deployment/floodgate', `${APP}/lifecycle/preStop/sleep`, undefined, 'no preStop.sleep'],
  ],
  'takes no pod away before a new one is ready': [
    ['Deployment/floodgate', '/spec/strategy/rollingUpdate/maxUnavailable', undefined, 'maxUnavailable is not 0'],
    ['Deployment/floodgate', MIGRATE, undefined, 'nothing migrates'],
  ],
  'has one autoscaler, and no number beside it': [
    ['Deployment/floodgate', '/spec/replicas', 3, 'Deployment/floodgate has replicas and an autoscaler'],
    ['ScaledObject/floodgate', '', undefined, '0 autoscalers for one Deployment'],
    ['ScaledObject/floodgate', '/spec/scaleTargetRef/name', 'other', 'wants a Deployment other'],
    ['PodDisruptionBudget/floodgate', '', autoscaler(), '2 autoscalers for one Deployment'],
    ['ScaledObject/floodgate', '/spec/minReplicaCount', 1, 'may leave one pod'],
    ['ScaledObject/floodgate', '/spec/maxReplicaCount', 6, 'cannot scale'],
  ],
  'asks for metrics that are served': [
    ['HorizontalPodAutoscaler/floodgate', '/spec/metrics/1/pods/metric/name', 'qps', 'asks for qps: nobody serves it'],
    ['HorizontalPodAutoscaler/floodgate', '/spec/metrics/1', undefined, 'nobody asks for http_requests_per_second'],
    ['HorizontalPodAutoscaler/floodgate', '/spec/metrics/0', undefined, 'does not mind CPU'],
  ],
  'lets nodes be drained, a pod at a time': [
    ['PodDisruptionBudget/floodgate', '/spec/minAvailable', 2, 'the budget has 2 bounds'],
    ['PodDisruptionBudget/floodgate', '/spec/maxUnavailable', 0, 'the budget lets no pod go'],
    [
      'PodDisruptionBudget/floodgate',
      '/spec/unhealthyPodEvictionPolicy',
      undefined,
      'keeps its node from being drained',
    ],
  ],
  'lets through whom it means to, and nobody else': [
    ['NetworkPolicy/default-deny', '', undefined, 'neighbor > stranger:8080/TCP is open'],
    ['NetworkPolicy/default-deny', '/spec/policyTypes/0', undefined, 'neighbor > stranger:8080/TCP is open'],
    ['NetworkPolicy/dns', '/spec/egress/0/ports/0', undefined, 'floodgate > dns:53/UDP is shut'],
    ['NetworkPolicy/dns', '/spec/egress/0/to', undefined, 'stranger > internet:53/UDP is open'],
    ['NetworkPolicy/dns', '/spec/egress/0/ports', undefined, 'floodgate > dns:9999/TCP is open'],
    [
      'NetworkPolicy/floodgate',
      '/spec/ingress/0/from/0/podSelector/matchLabels/a',
      'b',
      'prometheus > floodgate:3000/TCP is shut',
    ],
    [
      'NetworkPolicy/floodgate',
      '/spec/ingress/0/from/0/namespaceSelector',
      undefined,
      'prometheus > floodgate:3000/TCP is shut',
    ],
    ['NetworkPolicy/floodgate', '/spec/ingress/0/from', undefined, 'internet > floodgate:3000/TCP is open'],
    [
      'NetworkPolicy/floodgate',
      '/spec/egress/0/ports/0/port',
      5433,
      'floodgate > floodgate-db-pooler:5432/TCP is shut',
    ],
    ['NetworkPolicy/floodgate', '/spec/egress/1/to', undefined, 'floodgate > internet:6379/TCP is open'],
    [
      'NetworkPolicy/floodgate',
      '/spec/egress/1/to/0',
      { ipBlock: { cidr: '0.0.0.0/0' } },
      'floodgate > redis:6379/TCP is shut',
    ],
    ['NetworkPolicy/redis', '/spec/ingress/0/from', undefined, 'neighbor > redis:6379/TCP is open'],
    ['NetworkPolicy/floodgate-from-gateway', '', undefined, 'gateway > floodgate:3000/TCP is shut'],
    ['NetworkPolicy/gateway', '/spec/egress/0/ports/0/port', 80, 'gateway > floodgate:3000/TCP is shut'],
    ['NetworkPolicy/floodgate-from-ingress', '', undefined, 'ingress > floodgate:3000/TCP is shut'],
    [
      'NetworkPolicy/floodgate-from-ingress',
      '/spec/ingress/0/from/0',
      { namespaceSelector: {} },
      'neighbor > floodgate:3000/TCP',
    ],
    ['Deployment/floodgate', `${APP}/ports/0/name`, 'web', 'prometheus > floodgate:3000/TCP is shut'],
    [
      'StatefulSet/redis',
      '/spec/template/metadata/labels/app.kubernetes.io~1name',
      'x',
      'floodgate > redis:6379/TCP is shut',
    ],
    ['Cluster/floodgate-db', '/spec/inheritedMetadata', undefined, 'floodgate > floodgate-db:5432/TCP is shut'],
  ],
  'opens to the world what is for the world': [
    ['HTTPRoute/floodgate', '/spec/rules/0/matches/0/path/value', '/', 'HTTPRoute/floodgate opens /'],
    ['HTTPRoute/floodgate', '/spec/rules/0/matches/0/path/value', '/metrics', 'HTTPRoute/floodgate opens /metrics'],
    ['HTTPRoute/floodgate', '/spec/rules/0/matches', undefined, 'HTTPRoute/floodgate opens /'],
    ['HTTPRoute/floodgate', '/spec/rules/0/matches/1', undefined, 'Gateway/floodgate leads nobody to /docs'],
    ['HTTPRoute/floodgate-streams', '/spec/rules/0/matches/0/path/value', '/.*/export', 'opens /.*/export'],
    ['HTTPRoute/floodgate-redirect', '/spec/rules/0/filters', undefined, 'HTTPRoute/floodgate-redirect does nothing'],
    ['Ingress/floodgate', '/spec/rules/0/http/paths/0/path', '/health', 'Ingress/floodgate opens /health'],
    ['Ingress/floodgate', '/spec/rules/0/http/paths/3', undefined, 'Ingress/floodgate leads nobody to /openapi.json'],
    ['Ingress/floodgate', '/spec/defaultBackend', { service: { name: 'floodgate' } }, 'opens everything else'],
  ],
  'takes bodies as large as the app does': [
    ['ClientSettingsPolicy/floodgate', '/spec/body/maxSize', '2m', 'floodgate takes 2m'],
    ['ClientSettingsPolicy/floodgate-streams', '/spec/body/maxSize', '1m', 'floodgate-streams takes 1m'],
    ['ConfigMap/floodgate', '/data/BULK_LIMIT_BYTES', '1048576', 'floodgate-streams takes 64m'],
  ],
  'names the version of every image': [
    ['Deployment/floodgate', `${APP}/image`, 'floodgate', 'floodgate may be anything'],
    ['Deployment/floodgate', `${MIGRATE}/image`, 'floodgate:latest', 'floodgate:latest may be anything'],
    ['Deployment/floodgate', `${APP}/image`, 'floodgate:0.0.1', 'migrates for another version'],
  ],
  'requests the memory that it may use': [
    ['Deployment/floodgate', `${APP}/resources/limits/memory`, '512Mi', 'requests 256Mi of memory, may use 512Mi'],
    ['StatefulSet/redis', `${APP}/resources/limits`, undefined, 'may use undefined'],
    ['DaemonSet/fluent-bit', `${APP}/resources/requests/cpu`, undefined, 'requests no CPU'],
  ],
  'leaves a container no rights that it does not need': [
    ['Deployment/floodgate', `${APP}/securityContext/readOnlyRootFilesystem`, undefined, 'may write to its image'],
    ['Deployment/floodgate', `${MIGRATE}/securityContext/allowPrivilegeEscalation`, undefined, 'may gain privileges'],
    ['StatefulSet/redis', `${APP}/securityContext/capabilities`, undefined, 'keeps capabilities'],
    ['DaemonSet/fluent-bit', `${APP}/securityContext/privileged`, true, 'is privileged'],
  ],
  'is restricted as its namespace enforces': [
    ['Namespace/floodgate', '/metadata/labels', {}, 'namespace floodgate enforces nothing'],
    ['Deployment/floodgate', `${POD}/securityContext/runAsNonRoot`, undefined, 'may run as root'],
    ['Deployment/floodgate', `${APP}/securityContext/runAsUser`, 0, 'may run as root'],
    ['StatefulSet/redis', `${POD}/securityContext/seccompProfile`, undefined, 'has no seccomp profile'],
    ['Deployment/floodgate', `${APP}/securityContext/capabilities/add`, ['NET_ADMIN'], 'adds NET_ADMIN'],
    ['Deployment/floodgate', `${POD}/hostNetwork`, true, "uses the node's own"],
    ['Deployment/floodgate', `${APP}/ports/0/hostPort`, 80, "uses the node's own"],
    ['Deployment/floodgate', `${POD}/volumes`, [{ name: 'logs', hostPath: {} }], 'has a volume logs'],
  ],
  'gives no pod a key to the cluster': [
    ['Deployment/floodgate', `${POD}/automountServiceAccountToken`, undefined, 'Deployment/floodgate has a token'],
  ],
};

function autoscaler(): Manifest {
  const metadata = { name: 'floodgate', namespace: 'floodgate' };
  return {
    apiVersion: 'v2',
    kind: 'HorizontalPodAutoscaler',
    metadata,
    spec: { scaleTargetRef: { name: 'floodgate' } },
  };
}
