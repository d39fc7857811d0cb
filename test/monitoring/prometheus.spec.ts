import { load as parse } from 'js-yaml';
import { until } from '../support/answers.js';
import { pause } from '../support/process.js';
import { describeWith } from '../support/program.js';
import { Prometheus } from '../support/prometheus.js';
import { type Replicas, startReplicas } from '../support/replicas.js';
import { EXPORTERS } from './exporters.js';
import { namesIn } from './expression.js';
import { Load } from './load.js';
import {
  adapterQuery,
  adapterRules,
  allRules,
  type Dashboard,
  dashboards,
  filled,
  read,
  rules,
  targetsOf,
  triggers,
} from './manifests.js';

/** The window of the autoscalers' queries. */
const WINDOW_S = 30;
const PODS = ['floodgate-a', 'floodgate-b'];

/** Metrics of kube-state-metrics, and those that exporters.spec.ts checks. */
const OF_CLUSTER = [
  ...Object.values(EXPORTERS).flatMap(({ metrics }) => metrics),
  'kube_deployment_status_replicas_available',
  'kube_deployment_status_replicas_unavailable',
  'kube_horizontalpodautoscaler_spec_max_replicas',
  'kube_horizontalpodautoscaler_spec_min_replicas',
  'kube_horizontalpodautoscaler_status_condition',
  'kube_horizontalpodautoscaler_status_current_replicas',
  'kube_horizontalpodautoscaler_status_desired_replicas',
  'kube_pod_container_status_restarts_total',
  'kube_pod_status_ready',
];
const LABELS_OF_CLUSTER = [
  'condition',
  'container',
  'deployment',
  'horizontalpodautoscaler',
  'name',
  'persistentvolumeclaim',
  'status',
  'value',
];
/** Panels that only use those metrics, which have no data without a cluster. */
const PANELS_OF_CLUSTER = ['Floodgate: pods, Replicas', 'Floodgate: pods, Restarts'];

const queryOf = (name: string) => triggers.find((trigger) => trigger.name === name)?.metadata.query as string;
const adapterRule = adapterRules[0] as (typeof adapterRules)[0];
const isTrue = (found: number, truth: number) => Math.abs(found - truth) <= 0.05 * truth;

describeWith('prometheus', 'Prometheus, while it scrapes two processes under load', () => {
  let replicas: Replicas;
  let prometheus: Prometheus;
  let load: Load;
  let urls: string[];
  /** The time of all queries. */
  let now: number;

  beforeAll(async () => {
    replicas = await startReplicas();
    urls = [replicas.here, replicas.there].map(({ anyone }) => anyone.url);
    const [here, there] = urls as [string, string];
    load = await Load.start(replicas.admin, [
      { url: here, perSecond: 60 },
      { url: there, perSecond: 30 },
    ]);
    prometheus = await Prometheus.start({ 'floodgate-a': here, 'floodgate-b': there }, rules);
    // Prometheus takes some seconds to start.
    await until(async () => (await prometheus.query('up == 1')).length === PODS.length);
    await pause((WINDOW_S + 1) * 1000);
    now = Date.now() / 1000;
  }, 90_000);
  afterAll(async () => {
    await load?.stop();
    await prometheus?.close();
    await replicas?.close();
  });

  const truth = () => urls.map((url) => load.rate(url, now, WINDOW_S));
  const total = () => truth().reduce((sum, rate) => sum + rate);

  /** Requests per second by pod, computed like the adapter for the autoscaler. */
  const adapted = async (rule = adapterRule) => {
    const found = await prometheus.query(adapterQuery(rule, 'floodgate', PODS), now);
    return PODS.map((pod) => Number(found.find(({ metric }) => metric.pod === pod)?.value[1]));
  };
  /** The single value of a query of KEDA. */
  const scaled = async (query: string) => {
    const found = await prometheus.query(query, now);
    expect(found).toHaveLength(1);
    return Number(found[0]?.value[1]);
  };

  it('finds the true requests per second of each pod with the rule of prometheus-adapter', async () => {
    const [here, there] = truth() as [number, number];
    expect(here).toBeGreaterThan(there * 1.5);
    const found = await adapted();
    expect(found.map((rate, pod) => isTrue(rate, truth()[pod] as number) || [rate, truth()[pod]])).toEqual([
      true,
      true,
    ]);
    expect(isTrue(await scaled(adapterQuery(adapterRule, 'floodgate', PODS.slice(0, 1))), here)).toBe(true);
  });

  it('finds the series by which the adapter discovers the metric, and the metric that the autoscaler requests', async () => {
    const { seriesQuery, name, resources } = adapterRule;
    const series = await prometheus.series(seriesQuery);
    expect(series.length).toBeGreaterThan(4);
    const autoscaler = parse(read('autoscale-qps/hpa.yaml')) as { value: { pods: { metric: { name: string } } } }[];
    for (const one of series) {
      expect(one.__name__).toMatch(new RegExp(name.matches));
      for (const label of Object.keys(resources.overrides)) expect(one[label]).toBeTruthy();
    }
    expect(name.as).toBe(autoscaler[0]?.value.pods.metric.name);
  });

  it("finds the true requests per second of all pods with KEDA's query, and the utilization of their event loops", async () => {
    const found = await scaled(queryOf('requests-per-second'));
    expect(isTrue(found, total()) || [found, total()]).toBe(true);
    const pods = await prometheus.query(`avg_over_time(nodejs_eventloop_utilization[${WINDOW_S}s])`, now);
    const busy = pods.map(({ value }) => Number(value[1]));
    expect(busy).toHaveLength(PODS.length);
    for (const share of busy) expect(share > 0 && share < 1).toBe(true);
    expect(await scaled(queryOf('event-loop-utilization'))).toBeCloseTo((busy[0] as number) + (busy[1] as number));
  });

  it('would not find it if probes were counted as well, or if the pods were scraped under another name', async () => {
    const withProbes = (query: string) => query.replaceAll('/health/.*|', '');
    const found = await adapted({ ...adapterRule, metricsQuery: withProbes(adapterRule.metricsQuery) });
    expect(found.map((rate, pod) => isTrue(rate, truth()[pod] as number))).toEqual([false, false]);
    expect(isTrue(await scaled(withProbes(queryOf('requests-per-second'))), total())).toBe(false);
    const renamed = (query: string) => query.replaceAll('job="floodgate"', 'job="api"');
    expect(await prometheus.series(renamed(adapterRule.seriesQuery))).toEqual([]);
    for (const query of ['requests-per-second', 'event-loop-utilization'])
      expect(await prometheus.query(renamed(queryOf(query)), now)).toEqual([]);
  });

  it('would not find it if all requests weighed the same', async () => {
    const unweighed = (query: string) => query.replaceAll('0.25 *', '1 *');
    const found = await adapted({ ...adapterRule, metricsQuery: unweighed(adapterRule.metricsQuery) });
    expect(found.map((rate, pod) => isTrue(rate, truth()[pod] as number))).toEqual([false, false]);
    expect(isTrue(await scaled(unweighed(queryOf('requests-per-second'))), total())).toBe(false);
  });

  it('has a figure of 0 for a pod that only answers probes', async () => {
    const nobody = (query: string) =>
      query.replaceAll('/health/.*|', '/health/.*|/api/.*|').replaceAll('GET|HEAD', 'TRACE');
    expect(await adapted({ ...adapterRule, metricsQuery: nobody(adapterRule.metricsQuery) })).toEqual([0, 0]);
    expect(await scaled(nobody(queryOf('requests-per-second')))).toBe(0);
  });

  /** Metrics and labels of expressions that nothing exports. */
  const unknownIn = async (expressions: string[]) => {
    const series = await prometheus.series('{__name__=~".+"}');
    const metrics = new Set([...series.map(({ __name__ }) => __name__), ...OF_CLUSTER]);
    const labels = new Set([...series.flatMap((one) => Object.keys(one)), ...LABELS_OF_CLUSTER]);
    const named = expressions.map(namesIn);
    return [
      ...named.flatMap((names) => names.metrics).filter((name) => !metrics.has(name)),
      ...named.flatMap((names) => names.labels).filter((name) => !labels.has(name)),
    ];
  };
  const expressions = () => [
    ...allRules(rules).map(({ expr }) => expr),
    ...adapterRules.flatMap((rule) => [rule.seriesQuery, adapterQuery(rule, 'floodgate', PODS)]),
    ...triggers.flatMap(({ metadata }) => metadata.query ?? []),
    ...dashboards.flatMap(targetsOf).map(({ expr }) => filled(expr)),
  ];

  it('has every metric and label that a rule, an autoscaler or a dashboard uses', async () => {
    expect(expressions().length).toBeGreaterThan(50);
    expect(expressions().flatMap((expression) => namesIn(expression).metrics.slice(0, 1)).length).toBe(
      expressions().length,
    );
    expect(await unknownIn(expressions())).toEqual([]);
  });

  it('would lack a renamed one', async () => {
    const renamed = expressions().map((text) => text.replace('redis_up', 'redis_is_up').replace('http_route', 'route'));
    expect(new Set(await unknownIn(renamed))).toEqual(new Set(['redis_is_up', 'route']));
  });

  /** Panels whose queries return no number. */
  const emptyIn = async (shown: Dashboard[]) => {
    const empty: string[] = [];
    for (const { title, expr } of shown.flatMap(targetsOf)) {
      const found = await prometheus.query(filled(expr), now);
      if (!found.some(({ value }) => Number.isFinite(Number(value[1])))) empty.push(title);
    }
    return [...new Set(empty)];
  };

  it('has data for every panel, and the namespaces of the selector', async () => {
    expect(await emptyIn(dashboards)).toEqual(PANELS_OF_CLUSTER);
    for (const { templating } of dashboards) {
      const [, match, label] = /^label_values\((.+), (\w+)\)$/.exec(templating.list[1]?.query ?? '') ?? [];
      expect((await prometheus.series(match as string)).map((one) => one[label as string])).toContain('floodgate');
    }
  });

  it('would have none for panels with another job', async () => {
    const broken = JSON.parse(JSON.stringify(dashboards).replaceAll('job=\\"floodgate\\"', 'job=\\"api\\"'));
    const panels = new Set(dashboards.flatMap(targetsOf).map(({ title }) => title));
    // Three panels show recorded series, which do not depend on the name of the job.
    expect((await emptyIn(broken)).length).toBe(panels.size - 3);
  });
});
