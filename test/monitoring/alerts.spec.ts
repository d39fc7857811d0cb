import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeWith } from '../support/program.js';
import { type Input, CASES as OF_APP } from './alert-cases.js';
import { CASES as OF_POSTGRES } from './alert-cases-postgres.js';
import { allRules, type Rule, type Rules, rules } from './manifests.js';

const CASES = { ...OF_APP, ...OF_POSTGRES };

const folder = mkdtempSync(join(tmpdir(), 'floodgate-alerts-'));
afterAll(() => rmSync(folder, { recursive: true }));

const alerts = allRules(rules).filter(({ alert }) => alert);
const names = alerts.map(({ alert }) => alert);

/** Runs promtool. @returns its output and whether it succeeded. JSON is valid YAML */
function promtool(how: string[], file: string, content: unknown): { isContent: boolean; said: string } {
  const path = join(folder, file);
  writeFileSync(path, JSON.stringify(content));
  const { status, stdout, stderr } = spawnSync('promtool', [...how, path], { encoding: 'utf8' });
  return { isContent: status === 0, said: stdout + stderr };
}

/** A test of promtool: after these minutes of these figures the alert fires with these annotations, or does not. */
const unitTest = (alertname: string, input: Input, after: number, expected: object[]) => ({
  interval: '1m',
  input_series: Object.entries(input).map(([series, values]) => ({ series, values })),
  alert_rule_test: [{ eval_time: `${after}m`, alertname, exp_alerts: expected }],
});

const firing = Object.entries(CASES).map(([alert, { fires, after, labels, summary }]) => {
  const runbook = alerts.find((rule) => rule.alert === alert)?.annotations?.runbook;
  return unitTest(alert, fires, after, [{ exp_labels: labels, exp_annotations: { summary, runbook } }]);
});
const silent = Object.entries(CASES).map(([alert, { silent, after }]) => unitTest(alert, silent, after, []));

/** Evaluates the rules in steps of half an hour for tests of days, since every step takes time. */
function test(tested: Rules, tests: ReturnType<typeof unitTest>[]) {
  writeFileSync(join(folder, 'rules.json'), JSON.stringify(tested));
  // Recording rules must run before the alerts that use them; the order would otherwise be arbitrary.
  const order = tested.groups.map(({ name }) => name);
  const isLong = ({ input_series }: (typeof tests)[0]) => input_series.some(({ values }) => /x\d{4}/.test(values));
  const runs = [
    { evaluation_interval: '30m', tests: tests.filter(isLong) },
    { evaluation_interval: '1m', tests: tests.filter((one) => !isLong(one)) },
  ].map((file) =>
    promtool(['test', 'rules'], 'tests.json', { rule_files: ['rules.json'], group_eval_order: order, ...file }),
  );
  return { isContent: runs.every(({ isContent }) => isContent), said: runs.map(({ said }) => said).join('') };
}

const complaintsOf = ({ isContent, said }: ReturnType<typeof test>) =>
  isContent ? '' : said || 'promtool did not run';

/** The alerts that failed their tests, by promtool's output. */
const failedIn = (said: string) => [...new Set([...said.matchAll(/alertname: ?(\w+)/g)].map(([, name]) => name))];

const withAlerts = (change: (rule: Rule) => Partial<Rule>): Rules => ({
  groups: rules.groups.map((group) => ({
    ...group,
    rules: group.rules.map((rule) => (rule.alert ? { ...rule, ...change(rule) } : rule)),
  })),
});

describeWith('promtool', 'the alerts', () => {
  it('are well-formed, unlike broken ones', () => {
    expect(promtool(['check', 'rules'], 'rules.json', rules)).toMatchObject({ isContent: true });
    const broken = withAlerts(({ expr }) => ({ expr: `${expr} >` }));
    expect(promtool(['check', 'rules'], 'broken.json', broken)).toMatchObject({ isContent: false });
  });

  it('each have a case in which they fire, and one in which they do not', () => {
    expect(Object.keys(CASES).sort()).toEqual([...names].sort());
  });

  it('fire when they should, with the right annotations', () => {
    expect(complaintsOf(test(rules, firing))).toBe('');
  });

  it('are silent when they should', () => {
    expect(complaintsOf(test(rules, silent))).toBe('');
  });

  it('would each fail these tests if they fired never or always', () => {
    const never = test(
      withAlerts(({ expr }) => ({ expr: `(${expr}) and on () vector(1) == 2` })),
      firing,
    );
    expect(failedIn(never.said).sort()).toEqual([...names].sort());
    const always = test(
      withAlerts(() => ({ expr: 'vector(1)' })),
      silent,
    );
    expect(failedIn(always.said).sort()).toEqual([...names].sort());
  });
});

describe('the runbook', () => {
  const text = readFileSync('docs/operations.md', 'utf8');

  it('has a paragraph for each alert, which names it', () => {
    expect(runbookFaults(alerts, text)).toEqual([]);
  });

  it('would fail this test if a paragraph were missing, empty, or about no alert', () => {
    expect(runbookFaults(alerts, text.replace('### FloodgateSlow', '### FloodgateQuick'))).toEqual([
      'FloodgateSlow has no paragraph',
      'FloodgateQuick is no alert',
    ]);
    const empty = text.replace(/(### FloodgateSlow\n)[^#]*/, '$1\n');
    expect(runbookFaults(alerts, empty)).toEqual(['FloodgateSlow has no paragraph']);
    const lost = alerts.map((rule) => ({ ...rule, annotations: { runbook: 'docs/operations.md' } }));
    expect(runbookFaults(lost, text)).toHaveLength(alerts.length);
  });
});

function runbookFaults(checked: Rule[], text: string): string[] {
  const paragraphs = new Map(
    [...text.matchAll(/^### (Floodgate\w+)\n\n([^#\n]?)/gm)].map(([, name, first]) => [name, first]),
  );
  const link = (alert?: string) => `docs/operations.md#${alert?.toLowerCase()}`;
  return [
    ...checked.filter(({ alert }) => !paragraphs.get(alert)).map(({ alert }) => `${alert} has no paragraph`),
    ...checked
      .filter(({ alert, annotations }) => annotations?.runbook !== link(alert))
      .map(({ alert }) => `${alert} does not name its paragraph`),
    ...[...paragraphs.keys()].filter((name) => !names.includes(name)).map((name) => `${name} is no alert`),
  ];
}
