import { type Check, type Manifest, ofKind } from './objects.js';
import { operatedSets } from './operated.js';

type Rules = Manifest & { spec: { groups: { rules: { expr: string }[] }[] } };
type Gateway = Manifest & { spec: { gatewayClassName: string } };

/** If there are alerts, they cover everything that callers depend on, by its name in metrics. */
export const watchedCheck: Check = (objects) => {
  const rules = ofKind<Rules>(objects, 'PrometheusRule').flatMap(({ spec }) => spec.groups.flatMap((one) => one.rules));
  if (rules.length === 0) return [];
  const operated = operatedSets(objects).filter(({ name }) => !name.startsWith('the gateway'));
  const wanted = [
    ...ofKind(objects, 'Service')
      .filter(({ metadata: { name } }) => name === 'floodgate')
      .map(({ metadata }) => `job="${metadata.name}"`),
    ...operated.map(({ name }) => `job="${name}"`),
    ...ofKind(objects, 'Pooler').map(({ metadata }) => `deployment="${metadata.name}"`),
    ...ofKind(objects, 'Cluster').map(({ metadata }) => `persistentvolumeclaim=~"${metadata.name}-[0-9]+(-wal)?"`),
    // The name that NGINX Gateway Fabric gives to its Deployment.
    ...ofKind<Gateway>(objects, 'Gateway').map(
      ({ metadata, spec }) => `deployment="${metadata.name}-${spec.gatewayClassName}"`,
    ),
    ...ofKind(objects, 'StatefulSet')
      .filter(({ metadata }) => metadata.name === 'redis')
      .map(({ metadata }) => `pod=~"${metadata.name}-[0-9]+"`),
  ];
  return wanted
    .filter((name) => !rules.some(({ expr }) => expr.includes(name)))
    .map((name) => `no alert names ${name}`);
};
