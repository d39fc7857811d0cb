import { readFileSync } from 'node:fs';
import { load } from 'js-yaml';
import { KUBERNETES, PROJECTS } from '../k8s/projects.js';

/** A program other than the app whose metrics rules use, and the place in its Go module that defines them. */
interface Exporter {
  module: string;
  versions: string[];
  /** The source text that defines the metrics. */
  exported: (read: (file: string) => string) => string;
  metrics: string[];
}

const versionsOf = (of: string) => PROJECTS.find(({ name }) => name === of)?.versions ?? [];
const moduleOf = (of: string) => PROJECTS.find(({ name }) => name === of)?.module ?? '';

/** CloudNativePG's default queries, whose columns become metrics by a rule. */
interface Queries {
  [key: string]: { name?: string; metrics: Record<string, { usage: string }>[] };
}

const queried = (text: string) =>
  Object.entries(load((load(text) as { data: { queries: string } }).data.queries) as Queries)
    .flatMap(([key, { name = key, metrics }]) =>
      metrics
        .flatMap((one) => Object.entries(one))
        .filter(([, { usage }]) => usage !== 'LABEL')
        .map(([column]) => `cnpg_${name}_${column}`),
    )
    .join(' ');

/** By name. The metrics are checked against the exporter's source. */
export const EXPORTERS: Record<string, Exporter> = {
  CloudNativePG: {
    module: moduleOf('CloudNativePG'),
    versions: versionsOf('CloudNativePG'),
    exported: (read) =>
      `${queried(read('config/manager/default-monitoring.yaml'))} ${read('docs/src/monitoring.md')} ${read('docs/src/connection_pooling.md')}`,
    metrics: [
      'cnpg_collector_pg_wal_archive_status',
      'cnpg_pg_replication_in_recovery',
      'cnpg_pg_replication_is_wal_receiver_up',
      'cnpg_pg_replication_lag',
      'cnpg_pg_stat_archiver_last_archived_time',
      'cnpg_pg_stat_archiver_last_failed_time',
      'cnpg_pgbouncer_pools_maxwait',
    ],
  },
  'cert-manager': {
    module: 'github.com/cert-manager/cert-manager',
    versions: ['1.19.1'],
    exported: (read) => read('internal/collectors/certificate_collector.go'),
    metrics: ['certmanager_certificate_expiration_timestamp_seconds'],
  },
  kubelet: {
    module: KUBERNETES.module,
    versions: KUBERNETES.versions,
    exported: (read) => read('pkg/kubelet/metrics/metrics.go').replaceAll('"volume_', '"kubelet_volume_'),
    metrics: ['kubelet_volume_stats_available_bytes', 'kubelet_volume_stats_capacity_bytes'],
  },
  'Barman Cloud plugin': {
    module: moduleOf('Barman Cloud plugin'),
    versions: versionsOf('Barman Cloud plugin'),
    exported: (read) => read('web/docs/observability.md'),
    metrics: [
      'barman_cloud_cloudnative_pg_io_last_available_backup_timestamp',
      'barman_cloud_cloudnative_pg_io_last_failed_backup_timestamp',
    ],
  },
};

/** The listed metrics that an exporter does not have in that version of its module. */
export const unexported = ({ metrics, exported }: Exporter, folder: string): string[] => {
  const names = new Set(exported((file) => readFileSync(`${folder}/${file}`, 'utf8')).match(/[a-z]\w+/g));
  return metrics.filter((name) => !names.has(name));
};
