import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { load } from 'js-yaml';
import { describeWith } from '../support/program.js';
import { adapterQuery, adapterRules, read, triggers } from './manifests.js';

const folder = mkdtempSync(join(tmpdir(), 'floodgate-scaling-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** The measured requests per second of one core, their labels, and the number of pods that four become at four fifths (docs/scaling.md). */
const BY_ID = 'http_request_method="GET",http_route="/api/v1/data/:collection/records/:id"';
const RECORDS = 'http_route="/api/v1/data/:collection/records"';
const CAPACITIES: [of: string, capacity: number, labels: string, pods: string][] = [
  ['kept reads', 61_115, BY_ID, '9 pods'],
  ['reads by id that are not kept', 37_395, BY_ID, '5 pods'],
  ['lists', 10_229, `http_request_method="GET",${RECORDS}`, '6 pods'],
  ['creates', 11_250, `http_request_method="POST",${RECORDS}`, '6 pods'],
];
const PODS = ['floodgate-a', 'floodgate-b', 'floodgate-c', 'floodgate-d'];
/** The tolerance within which the HorizontalPodAutoscaler keeps the number of pods. */
const TOLERANCE = 1.1;
const CHANGE_S = 300;

const adapterRule = adapterRules[0] as (typeof adapterRules)[0];
const keda = triggers.find(({ name }) => name === 'requests-per-second')?.metadata as {
  query: string;
  threshold: string;
};
const hpa = (load(read('autoscale-qps/hpa.yaml')) as { value: { pods: { target: { averageValue: string } } } }[])[0];

/** The number of pods by each autoscaler's formula, at the target of its manifest. */
const desired = (query: string, target: string) =>
  `ceil(sum(${query}) / ${target}) and sum(${query}) / ${target} > ${TOLERANCE * PODS.length}`;
const QUERIES = {
  'the HPA': desired(adapterQuery(adapterRule, 'floodgate', PODS), String(hpa?.value.pods.target.averageValue)),
  KEDA: desired(keda.query, keda.threshold),
};

/** The number of pods that Prometheus computes, if it is more than now, some seconds after the load, in shares of one core, has changed. */
function grown(query: string, labels: string, [before, after]: [number, number], afterS: number): string {
  const series = PODS.map((pod) => ({
    series: `http_server_request_duration_seconds_count{job="floodgate",namespace="floodgate",pod="${pod}",${labels},http_response_status_code="200"}`,
    // One sample every 10 s.
    values: `0+${before * 10}x${CHANGE_S / 10} ${before * CHANGE_S + after * 10}+${after * 10}x60`,
  }));
  const test = {
    interval: '10s',
    input_series: series,
    promql_expr_test: [{ expr: query, eval_time: `${CHANGE_S + afterS}s`, exp_samples: [{ labels: '{}', value: 0 }] }],
  };
  const path = join(folder, 'test.json');
  writeFileSync(path, JSON.stringify({ evaluation_interval: '10s', tests: [test] }));
  const { stdout, stderr } = spawnSync('promtool', ['test', 'rules', path], { encoding: 'utf8' });
  const found = /got:\s*(?:nil|\{\}\s+(\S+))/.exec(stdout + stderr);
  if (!found) throw new Error(stdout + stderr);
  return found[1] ? `${Number(found[1])} pods` : 'as many';
}

describeWith('promtool', 'Four pods, by requests per second', () => {
  describe.each(Object.entries(QUERIES))('under %s', (_, query) => {
    it.each(CAPACITIES)('do not grow while %s take a fifth of each core', (_of, capacity, labels) => {
      expect(grown(query, labels, [capacity * 0.2, capacity * 0.2], 120)).toBe('as many');
    });

    it.each(CAPACITIES)('grow within 30 s when %s begin to take four fifths', (_of, capacity, labels, pods) => {
      expect(grown(query, labels, [capacity * 0.2, capacity * 0.8], 10)).toBe('as many');
      expect(grown(query, labels, [capacity * 0.2, capacity * 0.8], 30)).toBe(pods);
    });

    it('would grow on kept reads at a fifth if all requests had the same weight or the target were 2,000', () => {
      const [, capacity, labels] = CAPACITIES[0] as (typeof CAPACITIES)[0];
      for (const wrong of [query.replaceAll('0.25 *', '1 *'), query.replaceAll('/ 6000', '/ 2000')])
        expect(grown(wrong, labels, [capacity * 0.2, capacity * 0.2], 120)).toMatch(/pods/);
    });
  });
});
