import { APP, type Breaks, POD } from './broken.js';

/** Broken references between objects. */
export const WIRING = {
  'selects the intended pods': [
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
    ['PodMonitor/floodgate-db', '/spec/selector/matchLabels/a', 'b', 'selects pods of 0 kinds'],
    ['PodMonitor/floodgate-db', '/spec/selector/matchLabels/cnpg.io~1podRole', undefined, 'selects pods of 2 kinds'],
    ['PodMonitor/floodgate-db', '/spec/jobLabel', 'cnpg.io/podRole', 'does not call its job floodgate-db'],
    ['PodMonitor/floodgate-db-pooler', '/spec/podMetricsEndpoints/0/port', 'http', 'asks a port http'],
  ],
  'has alerts for everything that callers depend on': [
    ['PrometheusRule/floodgate-db', '', undefined, 'no alert names job="floodgate-db"'],
    ['Gateway/floodgate', '/spec/gatewayClassName', 'other', 'no alert names deployment="floodgate-other"'],
    ['Pooler/floodgate-db-pooler', '/metadata/name', 'other', 'no alert names deployment="other"'],
    ['Cluster/floodgate-db', '/metadata/name', 'other', 'no alert names persistentvolumeclaim=~"other-'],
    ['PrometheusRule/floodgate', '', undefined, 'no alert names pod=~"redis-'],
  ],
  'agrees on ports': [
    ['Deployment/floodgate', `${APP}/readinessProbe/httpGet/port`, 3001, 'is probed at 3001'],
    ['StatefulSet/redis', `${APP}/readinessProbe`, { tcpSocket: { port: 'other' } }, 'is probed at other'],
    ['Service/floodgate', '/spec/ports/0/targetPort', 3001, 'Service/floodgate leads to 3001'],
    ['Service/redis', '/spec/ports/0/targetPort', 'other', 'Service/redis leads to other'],
    ['HTTPRoute/floodgate', '/spec/rules/0/backendRefs/0/port', 3000, 'leads to floodgate:3000, which no Service has'],
    ['Ingress/floodgate', '/spec/rules/0/http/paths/0/backend/service/port/name', 'web', 'leads to floodgate:web'],
    ['ConfigMap/floodgate', '/data/PORT', '8080', 'PORT is 8080'],
  ],
  'references only existing objects': [
    ['ServiceAccount/floodgate', '/imagePullSecrets/0/name', 'other', 'Secret/floodgate/other'],
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
    ['Cluster/floodgate-db', '/spec/managed/roles/0/passwordSecret/name', 'other', 'Secret/floodgate/other'],
    ['Kibana/floodgate', '/spec/elasticsearchRef/name', 'other', 'Elasticsearch/logging/other'],
    ['Elasticsearch/floodgate', '/spec/auth/fileRealm/0/secretName', 'other', 'Secret/logging/other'],
    ['Ingress/floodgate', '/spec/tls/0/secretName', 'other', 'Secret/floodgate/other'],
  ],
  'connects to existing servers': [
    ['Service/redis', '', undefined, 'REDIS_URL leads to redis'],
    ['Pooler/floodgate-db-pooler', '', undefined, 'DATABASE_URL leads to floodgate-db-pooler'],
    ['Cluster/floodgate-db', '/spec/managed', {}, 'DATABASE_REPLICA_URLS leads to floodgate-db-replica'],
    ['Cluster/floodgate-db', '/metadata/name', 'db', 'DATABASE_MIGRATION_URL leads to floodgate-db-rw'],
  ],
  'attaches its routes to existing listeners': [
    ['HTTPRoute/floodgate', '/spec/parentRefs/0/sectionName', 'tls', 'hangs on a listener tls'],
    // Without it, the route would be served without TLS, too.
    ['HTTPRoute/floodgate', '/spec/parentRefs/0/sectionName', undefined, 'hangs on a listener undefined'],
  ],
  'names the namespace of each object': [
    ['Service/floodgate', '/metadata/namespace', undefined, 'Service/floodgate has no namespace'],
  ],
  'mounts its volumes': [
    ['DaemonSet/fluent-bit', `${APP}/volumeMounts/0/name`, 'other', 'mounts other, which is not there'],
    ['DaemonSet/fluent-bit', `${APP}/volumeMounts/0`, undefined, 'mounts config nowhere'],
  ],
} satisfies Breaks;
