/** Values of series by their names, in promtool's notation, a minute apart. */
export type Input = Record<string, string>;

export interface AlertCase {
  /** The minutes after which it fires, or is silent. */
  after: number;
  fires: Input;
  labels: Record<string, string>;
  summary: string;
  silent: Input;
}

const ofApp = (name: string, labels = '', pod = 'floodgate-a') =>
  `${name}{job="floodgate",namespace="floodgate",pod="${pod}"${labels && `,${labels}`}}`;
const ofCluster = (name: string, labels: string) => `${name}{namespace="floodgate",${labels}}`;

const DURATION = 'http_server_request_duration_seconds';
const ROUTE = 'http_route="/api/v1/data"';
const EXPORT = 'http_route="/api/v1/data/:collection/records/export"';
const PROBE = 'http_route="/health/ready"';
const ok = ofApp(`${DURATION}_count`, `${ROUTE},http_response_status_code="200"`);
const failed = ofApp(`${DURATION}_count`, `${ROUTE},http_response_status_code="500",error_type="500"`);
const failedProbe = ofApp(`${DURATION}_count`, `${PROBE},http_response_status_code="503",error_type="503"`);
const fast = (route: string) => ofApp(`${DURATION}_bucket`, `${route},http_response_status_code="200",le="0.5"`);
const all = (route: string) => ofApp(`${DURATION}_count`, `${route},http_response_status_code="200"`);
const refused = ofApp('admission_refused_total', 'priority="read",reason="full"');
const waiting = ofApp('db_client_connection_pending_requests');
const listeners = ofApp('resources_in_use', 'resource="feed_listeners"');
const mostListeners = ofApp('feed_listeners_max');
const redis = (pod: string) => ofApp('redis_up', '', pod);
const database = (pod: string) => ofApp('postgresql_up', '', pod);
const up = (pod: string) => ofApp('up', '', pod);
const available = ofCluster('kube_deployment_status_replicas_available', 'deployment="floodgate"');
const unavailable = ofCluster('kube_deployment_status_replicas_unavailable', 'deployment="floodgate"');
const restarts = ofCluster('kube_pod_container_status_restarts_total', 'pod="floodgate-a",container="floodgate"');
const desired = (hpa: string) =>
  ofCluster('kube_horizontalpodautoscaler_status_desired_replicas', `horizontalpodautoscaler="${hpa}"`);
const most = (hpa: string) =>
  ofCluster('kube_horizontalpodautoscaler_spec_max_replicas', `horizontalpodautoscaler="${hpa}"`);
const blind = ofCluster(
  'kube_horizontalpodautoscaler_status_condition',
  'horizontalpodautoscaler="keda-hpa-floodgate",condition="ScalingActive",status="false"',
);
const redisRestarts = ofCluster('kube_pod_container_status_restarts_total', 'pod="redis-0",container="redis"');
const gateways = ofCluster('kube_deployment_status_replicas_available', 'deployment="floodgate-nginx"');
const certificate = (name: string) =>
  `certmanager_certificate_expiration_timestamp_seconds{name="${name}",namespace="cert-manager",exported_namespace="floodgate"}`;

const namespace = 'floodgate';
export const critical = { namespace, severity: 'critical' };
export const warning = { namespace, severity: 'warning' };

/** For each alert, figures that make it fire, and similar ones that do not. */
export const CASES: Record<string, AlertCase> = {
  FloodgateBurnsBudgetIn2Days: {
    after: 90,
    fires: { [ok]: '0+980x90', [failed]: '0+20x90' },
    labels: critical,
    summary: '2% of the requests of the last hour failed.',
    // The failures ended ten minutes ago; and a process that is not ready is not a failed request.
    silent: { [ok]: '0+1000x90', [failed]: '0+50x80 4000x10', [failedProbe]: '0+1000x90' },
  },
  FloodgateBurnsBudgetIn5Days: {
    after: 400,
    fires: { [ok]: '0+990x400', [failed]: '0+10x400' },
    labels: critical,
    summary: '1% of the requests of the last 6 hours failed.',
    silent: { [ok]: '0+995x400', [failed]: '0+5x400' },
  },
  FloodgateBurnsBudgetIn30Days: {
    after: 4320,
    fires: { [ok]: '0+998x4320', [failed]: '0+2x4320' },
    labels: warning,
    summary: '0.2% of the requests of the last 3 days failed.',
    silent: { [ok]: '0+9991x4320', [failed]: '0+9x4320' },
  },
  FloodgateUnavailable: {
    after: 5,
    fires: { [available]: '3 3 0x4' },
    labels: critical,
    summary: 'No pod is ready.',
    silent: { [available]: '3 3 1x4' },
  },
  FloodgateWithoutDatabase: {
    after: 5,
    fires: { [database('floodgate-a')]: '1 1 0x5', [database('floodgate-b')]: '1 1 0x5' },
    labels: critical,
    summary: 'No pod can use PostgreSQL.',
    // A replica that is alone with the fault is not ready; and a primary that moves is back within a minute.
    silent: { [database('floodgate-a')]: '0x5', [database('floodgate-b')]: '1 1 1 1 1 0' },
  },
  FloodgateNoTarget: {
    after: 10,
    fires: { [up('floodgate-a')]: '1 1 0x10' },
    labels: { severity: 'critical' },
    summary: 'Prometheus reaches no pod.',
    silent: { [up('floodgate-a')]: '0x10', [up('floodgate-b')]: '1x10' },
  },
  FloodgateSlow: {
    after: 20,
    fires: { [fast(ROUTE)]: '0+97x20', [all(ROUTE)]: '0+100x20' },
    labels: warning,
    summary: '3% of the requests take longer than 0.5 s.',
    // The duration of an export depends on its size.
    silent: { [fast(ROUTE)]: '0+991x20', [all(ROUTE)]: '0+1000x20', [fast(EXPORT)]: '0x20', [all(EXPORT)]: '0+100x20' },
  },
  FloodgateSheds: {
    after: 15,
    fires: { [ok]: '0+98x20', [failed]: '0+2x20', [refused]: '0+2x20' },
    labels: warning,
    summary: '2% of the requests are refused with 503 for want of capacity.',
    silent: { [ok]: '0+199x20', [failed]: '0+1x20', [refused]: '0+1x20' },
  },
  FloodgatePoolExhausted: {
    after: 15,
    fires: { [waiting]: '3x20' },
    labels: { ...warning, pod: 'floodgate-a' },
    summary: 'In floodgate-a, 3 requests or more wait for a connection to PostgreSQL.',
    silent: { [waiting]: '0x12 40 40 0x20' },
  },
  FloodgateRedisDegraded: {
    after: 10,
    fires: { [redis('floodgate-a')]: '1 1 0x10', [redis('floodgate-b')]: '1x10' },
    labels: warning,
    summary: 'Pods that do without Redis: 1.',
    silent: { [redis('floodgate-a')]: '1x8 0 1', [redis('floodgate-b')]: '1x10' },
  },
  FloodgateServesStale: {
    after: 15,
    fires: { [ofApp('cache_refresh_failures_total')]: '0+6x20' },
    labels: warning,
    summary: 'What was kept is given out, as it cannot be read anew.',
    silent: { [ofApp('cache_refresh_failures_total')]: '500x20' },
  },
  FloodgateListenersNearLimit: {
    after: 10,
    fires: { [listeners]: '9000 9500x10', [mostListeners]: '10000x11' },
    labels: { ...warning, pod: 'floodgate-a' },
    summary: 'floodgate-a has 95% of the listeners that it may have.',
    // Those of a pod that has ended came, and have gone on to others.
    silent: { [listeners]: '9000 9500x3 8000x7', [mostListeners]: '10000x11' },
  },
  FloodgateJobsLate: {
    after: 15,
    fires: { [ofApp('jobs_oldest_waiting_seconds', 'queue="orders.remind"')]: '0+60x20' },
    labels: { ...warning, queue: 'orders.remind' },
    summary: 'A job orders.remind has waited for 15m 0s.',
    silent: { [ofApp('jobs_oldest_waiting_seconds', 'queue="orders.remind"')]: '290x20' },
  },
  FloodgateJobsDead: {
    after: 5,
    fires: { [ofApp('jobs_dead')]: '2x10', [ofApp('jobs_dead', '', 'floodgate-b')]: '2x10' },
    labels: warning,
    summary: 'Jobs whose attempts have all failed: 2.',
    silent: { [ofApp('jobs_dead')]: '0x10' },
  },
  FloodgateWebhooksLate: {
    after: 15,
    fires: { [ofApp('webhook_oldest_undelivered_seconds')]: '3600+60x20' },
    labels: warning,
    summary: 'A webhook has not had a change for 1h 15m 0s.',
    silent: { [ofApp('webhook_oldest_undelivered_seconds')]: '3000x20' },
  },
  FloodgateRestarts: {
    after: 10,
    fires: { [restarts]: '4 4 5x10' },
    labels: { ...warning, pod: 'floodgate-a' },
    summary: 'floodgate-a was restarted within the last 15 minutes.',
    silent: { [restarts]: '4x10' },
  },
  FloodgatePodsNotReady: {
    after: 15,
    fires: { [unavailable]: '2x15' },
    labels: warning,
    summary: 'Pods that have not been ready for 10 minutes: 2.',
    silent: { [unavailable]: '2x8 0x10' },
  },
  FloodgateAtMaxReplicas: {
    after: 20,
    fires: { [desired('floodgate')]: '10x20', [most('floodgate')]: '10x20' },
    labels: warning,
    summary: 'All 10 pods that the autoscaler may start run: nothing is left for more load.',
    silent: { [desired('keda-hpa-floodgate')]: '9x20', [most('keda-hpa-floodgate')]: '10x20' },
  },
  FloodgateAutoscalerBlind: {
    after: 15,
    fires: { [blind]: '1x15' },
    labels: warning,
    summary: 'The autoscaler cannot read its figures, and leaves the number of pods as it is.',
    silent: { [blind]: '0x15' },
  },
  FloodgateRedisDown: {
    after: 10,
    fires: { [redis('floodgate-a')]: '1 1 0x10', [redis('floodgate-b')]: '0x10' },
    labels: critical,
    summary: 'No pod can use Redis.',
    // Redis was restarted.
    silent: { [redis('floodgate-a')]: '1 1 0x3 1x5', [redis('floodgate-b')]: '0x10' },
  },
  FloodgateRedisRestarts: {
    after: 10,
    fires: { [redisRestarts]: '0 0 1x10' },
    labels: { ...warning, pod: 'redis-0' },
    summary: 'redis-0 was restarted within the last 15 minutes.',
    silent: { [redisRestarts]: '3x10' },
  },
  FloodgateGatewayDown: {
    after: 5,
    fires: { [gateways]: '2 2 0x4' },
    labels: critical,
    summary: 'No NGINX of the gateway is ready.',
    silent: { [gateways]: '2 2 1x4' },
  },
  FloodgateCertificateNotRenewed: {
    after: 120,
    fires: { [certificate('floodgate')]: '871200x120' },
    labels: { name: 'floodgate', severity: 'warning' },
    summary: 'The certificate is not renewed, and ends in 10d 0h 0m 0s.',
    // Renewed within the hour, and a certificate of others.
    silent: { [certificate('floodgate')]: '871200x50 7776000x70', [certificate('other')]: '871200x120' },
  },
  FloodgateCertificateEnds: {
    after: 60,
    fires: { [certificate('floodgate')]: '176400x60' },
    labels: { name: 'floodgate', severity: 'critical' },
    summary: 'The certificate ends in 2d 0h 0m 0s.',
    silent: { [certificate('floodgate')]: '349200x60' },
  },
};
