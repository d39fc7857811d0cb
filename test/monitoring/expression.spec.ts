import { namesIn } from './expression.js';

it.each([
  ['up', ['up'], []],
  ['sum by (pod) (rate(a_total{job="floodgate",x!~"b{c}"}[5m]))', ['a_total'], ['job', 'pod', 'x']],
  [
    'a:b:rate5m / on (pod) group_left (node) 14.4e3 * c > bool 1 or 0 * d offset 1h',
    ['a:b:rate5m', 'c', 'd'],
    ['node', 'pod'],
  ],
  ['{job="floodgate",namespace!=""}', [], ['job', 'namespace']],
  ['histogram_quantile(0.99, sum(rate(h_bucket[1m])) by (le)) unless absent(e)', ['e', 'h_bucket'], ['le']],
])('finds the metrics and labels of %s', (expression, metrics, labels) => {
  expect(namesIn(expression)).toEqual({ metrics, labels });
});
