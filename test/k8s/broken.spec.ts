import { describeWith } from '../support/program.js';
import type { Break } from './broken.js';
import { GUARDS } from './broken-guards.js';
import { RUNNING } from './broken-running.js';
import { WIRING } from './broken-wiring.js';
import { change, isCalled } from './change.js';
import { CHECKS, type CheckName } from './checks.js';
import type { Manifest } from './objects.js';
import { render } from './render.js';

/** Every check, with changes that it must find. */
const BROKEN: Record<CheckName, Break[]> = { ...WIRING, ...RUNNING, ...GUARDS };

/** The manifests whose copies are broken: together they have every kind of object. */
const WHOLE: [name: string, ...components: string[]][] = [
  ['overlays/production', 'external-secrets', 'pull-secret'],
  ['base', 'ingress', 'postgres', 'postgres-monitoring', 'redis', 'monitoring', 'autoscale-qps', 'tracing', 'workers'],
];

describeWith('kubectl', 'Broken Kubernetes manifests', () => {
  let rendered: Manifest[][];
  beforeAll(async () => {
    rendered = await Promise.all(WHOLE.map((combination) => render(...combination)));
  });

  it('have no mistakes before they are broken', async () => {
    const said = await Promise.all(rendered.flatMap((objects) => Object.values(CHECKS).map((check) => check(objects))));
    expect(said.flat()).toEqual([]);
  });

  const cases = Object.entries(BROKEN).flatMap(([check, breaks]) =>
    breaks.map((one) => [check, ...one] as [CheckName, ...typeof one]),
  );

  it.each(cases)('%s: fails for %s%s = %j', async (check, id, path, value, says) => {
    const objects = structuredClone(rendered.find((all) => all.some((object) => isCalled(object, id))) as Manifest[]);
    const index = objects.findIndex((object) => isCalled(object, id));
    if (path) change(objects[index], path, value);
    else objects.splice(index, 1, ...(value ? [value as Manifest] : []));
    expect(await CHECKS[check](objects)).toEqual(expect.arrayContaining([expect.stringContaining(says)]));
  });
});
