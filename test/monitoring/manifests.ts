import { readdirSync, readFileSync } from 'node:fs';
import { load } from 'js-yaml';

const COMPONENTS = 'k8s/components';
const DASHBOARDS = `${COMPONENTS}/monitoring/dashboards`;

export interface Rule {
  record?: string;
  alert?: string;
  expr: string;
  for?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
}

/** The part of a PrometheusRule that Prometheus itself reads. */
export interface Rules {
  groups: { name: string; rules: Rule[] }[];
}

/** A rule of prometheus-adapter. */
export interface AdapterRule {
  seriesQuery: string;
  resources: { overrides: Record<string, { resource: string }> };
  name: { matches: string; as: string };
  metricsQuery: string;
}

export interface Trigger {
  type: string;
  name?: string;
  metadata: { query?: string };
}

export interface Panel {
  title: string;
  targets?: { expr: string }[];
}

export interface Dashboard {
  title: string;
  panels: Panel[];
  templating: { list: { query: string }[] };
}

export const rulesOf = (text: string) => (load(text) as { spec: Rules }).spec;
export const adapterRulesOf = (text: string) => (load(text) as { rules: AdapterRule[] }).rules;
export const triggersOf = (text: string) => (load(text) as { spec: { triggers: Trigger[] } }).spec.triggers;

export const read = (path: string) => readFileSync(`${COMPONENTS}/${path}`, 'utf8');

export const rules: Rules = {
  groups: ['monitoring', 'postgres-monitoring'].flatMap(
    (component) => rulesOf(read(`${component}/prometheus-rule.yaml`)).groups,
  ),
};
export const adapterRules = adapterRulesOf(read('autoscale-qps/config.yaml'));
export const triggers = triggersOf(read('autoscale-keda/scaled-object.yaml'));
export const dashboards: Dashboard[] = readdirSync(DASHBOARDS).map((file) =>
  JSON.parse(read(`monitoring/dashboards/${file}`)),
);

export const allRules = ({ groups }: Rules) => groups.flatMap(({ rules }) => rules);

/** Fills the adapter's template for these pods like the adapter. */
export const adapterQuery = ({ metricsQuery, name }: AdapterRule, namespace: string, pods: string[]): string => {
  const matcher = `pod${pods.length > 1 ? '=~' : '='}"${pods.join('|')}"`;
  const filled: Record<string, string> = {
    Series: name.matches.replace(/[\^$]/g, ''),
    LabelMatchers: `namespace="${namespace}",${matcher}`,
    GroupBy: 'pod',
  };
  return metricsQuery.replace(/<<\.(\w+)>>/g, (_, field) => {
    if (!filled[field]) throw new Error(`the adapter does not know ${field}`);
    return filled[field];
  });
};

/** Every query of a dashboard with its panel. */
export const targetsOf = ({ title, panels }: Dashboard) =>
  panels.flatMap((panel) => (panel.targets ?? []).map(({ expr }) => ({ title: `${title}, ${panel.title}`, expr })));

/** A query of a dashboard as Grafana sends it. */
export const filled = (expr: string) =>
  expr.replaceAll('$namespace', 'floodgate').replaceAll('$__rate_interval', '10s');
