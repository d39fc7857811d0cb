import { type AlertCase, critical, warning } from './alert-cases.js';

const of =
  (pod: string) =>
  (name: string, labels = '') =>
    `${name}{job="floodgate-db",namespace="floodgate",pod="${pod}"${labels && `,${labels}`}}`;
const one = of('floodgate-db-1');
const two = of('floodgate-db-2');

const BARMAN = 'barman_cloud_cloudnative_pg_io';
const up = one('up');
const madeBackup = one(`${BARMAN}_last_available_backup_timestamp`);
const failedBackup = one(`${BARMAN}_last_failed_backup_timestamp`);
const recovers = (of: typeof one) => of('cnpg_pg_replication_in_recovery');
const archived = (of: typeof one) => of('cnpg_pg_stat_archiver_last_archived_time');
const notArchived = (of: typeof one) => of('cnpg_pg_stat_archiver_last_failed_time');
const toArchive = (of: typeof one) => of('cnpg_collector_pg_wal_archive_status', 'value="ready"');

const ofOne = { ...critical, pod: 'floodgate-db-1' };
const ofOneLater = { ...warning, pod: 'floodgate-db-1' };
const receives = (of: typeof one) => of('cnpg_pg_replication_is_wal_receiver_up');
const behind = (of: typeof one) => of('cnpg_pg_replication_lag');
/** A metric of kube-state-metrics. */
const ready = (pod: string) => `kube_pod_status_ready{namespace="floodgate",pod="${pod}",condition="true"}`;
const left = (volume: string) => ofVolume('kubelet_volume_stats_available_bytes', volume);
const size = (volume: string) => ofVolume('kubelet_volume_stats_capacity_bytes', volume);
const ofVolume = (name: string, volume: string) => `${name}{namespace="floodgate",persistentvolumeclaim="${volume}"}`;
const poolers = 'kube_deployment_status_replicas_available{namespace="floodgate",deployment="floodgate-db-pooler"}';
const waited =
  'cnpg_pgbouncer_pools_maxwait{job="floodgate-db-pooler",namespace="floodgate",pod="pooler-a",user="floodgate"}';
const volume = { namespace: 'floodgate', persistentvolumeclaim: 'floodgate-db-1' };

/** The alerts about PostgreSQL. Times are in seconds from 0, as in a test of promtool. */
export const CASES: Record<string, AlertCase> = {
  FloodgateDatabaseUnwatched: {
    after: 10,
    fires: { [up]: '1 1 0x10' },
    labels: { severity: 'warning' },
    summary: 'Prometheus reaches no instance of PostgreSQL.',
    silent: { [up]: '0x10', [two('up')]: '1x10' },
  },
  FloodgateBackupMissing: {
    after: 2400,
    fires: { [up]: '1x2400', [madeBackup]: '600x2400' },
    labels: critical,
    summary: 'There is no backup of the last 36 hours.',
    // A backup that took an hour longer.
    silent: { [up]: '1x2400', [madeBackup]: '600x2230 133800x170' },
  },
  FloodgateBackupFailed: {
    after: 5,
    fires: { [madeBackup]: '60x5', [failedBackup]: '0 0 120x3' },
    labels: warning,
    summary: 'The last backup failed.',
    silent: { [madeBackup]: '60 60 60 180 180 180', [failedBackup]: '0 0 120x3' },
  },
  FloodgateArchiveFails: {
    after: 10,
    fires: { [archived(one)]: '60x10', [notArchived(one)]: '0 0 120x8', [recovers(one)]: '0x10' },
    labels: ofOne,
    summary: 'floodgate-db-1 cannot archive its log (WAL).',
    // The failed backup was repeated; and a standby failed while it was still the primary.
    silent: {
      [archived(one)]: '60x6 420x4',
      [notArchived(one)]: '0 0 120x8',
      [recovers(one)]: '0x10',
      [archived(two)]: '60x10',
      [notArchived(two)]: '120x10',
      [recovers(two)]: '1x10',
    },
  },
  FloodgateArchiveLags: {
    after: 20,
    fires: { [toArchive(one)]: '40x20', [recovers(one)]: '0x20' },
    labels: ofOneLater,
    summary: 'Files of the log (WAL) that wait in floodgate-db-1 to be archived: 40.',
    silent: {
      [toArchive(one)]: '0x8 90 60 30x10',
      [recovers(one)]: '0x20',
      [toArchive(two)]: '40x20',
      [recovers(two)]: '1x20',
    },
  },
  FloodgateNoPrimary: {
    after: 5,
    fires: { [up]: '1x5', [two('up')]: '1x5', [recovers(one)]: '0 0 stale', [recovers(two)]: '1x5' },
    labels: critical,
    summary: 'No instance of PostgreSQL is the primary.',
    // A standby takes over within a minute.
    silent: { [up]: '1x5', [two('up')]: '1x5', [recovers(one)]: '0 0 stale', [recovers(two)]: '1 1 1 0x3' },
  },
  FloodgateFailover: {
    after: 10,
    fires: { [recovers(one)]: '0 0 0 _ _ 1x6', [recovers(two)]: '1 1 1 1 0x7' },
    labels: warning,
    summary: '2 instances of PostgreSQL were the primary within the last 15 minutes.',
    // A primary that restarts remains it.
    silent: { [recovers(one)]: '0 0 0 _ _ 0x6', [recovers(two)]: '1x11' },
  },
  FloodgateInstanceNotReady: {
    after: 15,
    fires: { [ready('floodgate-db-1')]: '1 1 0x15' },
    labels: ofOneLater,
    summary: 'floodgate-db-1 has not been ready for 10 minutes.',
    silent: { [ready('floodgate-db-1')]: '0x8 1 0x8', [ready('floodgate-db-pooler-a')]: '0x15' },
  },
  FloodgateReplicaDetached: {
    after: 10,
    fires: { [recovers(one)]: '1x10', [receives(one)]: '1 1 0x10' },
    labels: ofOneLater,
    summary: 'floodgate-db-1 does not receive from the primary.',
    // A primary receives nothing.
    silent: { [recovers(one)]: '0x10', [receives(one)]: '0x10', [recovers(two)]: '1x10', [receives(two)]: '0x6 1x4' },
  },
  FloodgateReplicaLags: {
    after: 10,
    fires: { [behind(one)]: '0 0 40x10' },
    labels: ofOneLater,
    summary: 'floodgate-db-1 is 40s behind the primary.',
    silent: { [behind(one)]: '20x10', [behind(two)]: '300x6 0 300x3' },
  },
  FloodgateDiskFills: {
    after: 20,
    fires: { [left('floodgate-db-1')]: '20x20', [size('floodgate-db-1')]: '100x20' },
    labels: { ...volume, severity: 'warning' },
    summary: 'The volume floodgate-db-1 has 20% left.',
    // The volumes of others do not matter.
    silent: {
      [left('floodgate-db-1')]: '26x20',
      [size('floodgate-db-1')]: '100x20',
      [left('elsewhere-1')]: '1x20',
      [size('elsewhere-1')]: '100x20',
    },
  },
  FloodgateDiskFull: {
    after: 5,
    fires: { [left('floodgate-db-1')]: '5x5', [size('floodgate-db-1')]: '100x5' },
    labels: { ...volume, severity: 'critical' },
    summary: 'The volume floodgate-db-1 has 5% left.',
    silent: { [left('floodgate-db-1')]: '11x5', [size('floodgate-db-1')]: '100x5' },
  },
  FloodgatePoolerDown: {
    after: 5,
    fires: { [poolers]: '2 2 0x4' },
    labels: critical,
    summary: 'No PgBouncer is ready.',
    silent: { [poolers]: '2 2 1x4' },
  },
  FloodgatePoolerQueues: {
    after: 5,
    fires: { [waited]: '0 2x5' },
    labels: { ...warning, pod: 'pooler-a' },
    summary: 'In pooler-a, somebody has waited 2s for a connection to PostgreSQL.',
    silent: { [waited]: '0 0 5 0 5 0' },
  },
};
