import { download } from '../k8s/projects.js';
import { describeWith } from '../support/program.js';
import { EXPORTERS, unexported } from './exporters.js';
import { namesIn } from './expression.js';
import { allRules, rules } from './manifests.js';

describeWith('go', 'The metrics of other programs that alerts use', (go) => {
  for (const [name, exporter] of Object.entries(EXPORTERS)) {
    const project = { name, groups: [], module: exporter.module, folder: '.', versions: ['', ''] as [string, string] };
    const found = go
      ? download(
          go,
          exporter.versions.map((version) => ({ project, version })),
        )
      : [];

    it.each(found.filter(({ folder }) => folder))(`are exported by ${name} $version`, ({ folder = '' }) => {
      expect(unexported(exporter, folder)).toEqual([]);
      const renamed = exporter.metrics.map((metric) => `${metric}_renamed`);
      expect(unexported({ ...exporter, metrics: renamed }, folder)).toEqual(renamed);
    });

    it(`are all used by rules: ${name}`, () => {
      const named = allRules(rules).flatMap(({ expr }) => namesIn(expr).metrics);
      expect(exporter.metrics.filter((metric) => !named.includes(metric))).toEqual([]);
    });
  }
});
