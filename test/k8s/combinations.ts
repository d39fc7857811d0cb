import { readdirSync } from 'node:fs';

/** Every overlay, every component alone on the base, except those that need another one, and likely combinations. */
export const COMBINATIONS: [name: string, ...components: string[]][] = [
  ['overlays/local'],
  ['overlays/staging'],
  ['overlays/production'],
  ['base'],
  ...readdirSync('k8s/components')
    .filter((component) => !component.startsWith('postgres-'))
    .map((component): [string, string] => ['base', component]),
  ['base', 'ingress', 'postgres', 'postgres-monitoring', 'redis', 'monitoring', 'autoscale-keda', 'logging'],
  ['base', 'gateway', 'postgres', 'postgres-monitoring', 'redis', 'monitoring', 'autoscale-qps', 'external-secrets'],
  ['overlays/local', 'ingress'],
  ['overlays/local', 'monitoring', 'autoscale-qps'],
  ['overlays/staging', 'logging', 'external-secrets'],
  ['overlays/production', 'external-secrets'],
  ['overlays/production', 'postgres-restore'],
];
