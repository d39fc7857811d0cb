import { load } from 'js-yaml';
import { type Check, idOf, type Manifest, ofKind } from './objects.js';

interface Hpa extends Manifest {
  spec: { metrics: { type: string; pods?: { metric: { name: string } } }[] };
}

/** Autoscalers use exactly the metrics that prometheus-adapter serves. */
export const metricNamesCheck: Check = (objects) => {
  const served = ofKind(objects, 'ConfigMap')
    .flatMap(({ data }) => (data?.['config.yaml'] ? [data['config.yaml']] : []))
    .flatMap((text) => (load(text) as { rules: { name: { as: string } }[] }).rules)
    .map(({ name }) => name.as);
  const scalers = ofKind<Hpa>(objects, 'HorizontalPodAutoscaler');
  const asked = scalers.flatMap((hpa) =>
    hpa.spec.metrics.flatMap(({ pods }) => (pods ? [[idOf(hpa), pods.metric.name] as const] : [])),
  );
  return [
    ...asked
      .filter(([, name]) => !served.includes(name))
      .map(([by, name]) => `${by} asks for ${name}: nobody serves it`),
    ...served.filter((name) => !asked.some(([, one]) => one === name)).map((name) => `nobody asks for ${name}`),
    // A few requests may still be expensive.
    ...scalers
      .filter(({ spec }) => !spec.metrics.some(({ type }) => type === 'Resource'))
      .map((hpa) => `${idOf(hpa)} does not mind CPU`),
  ];
};
