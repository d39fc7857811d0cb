import { describeWith } from '../support/program.js';
import type { Break } from './broken.js';
import { GUARDS } from './broken-guards.js';
import { RUNNING } from './broken-running.js';
import { WIRING } from './broken-wiring.js';
import { CHECKS, type CheckName } from './checks.js';
import { idOf, type Manifest } from './objects.js';
import { render } from './render.js';

/** Every check, and how it is shown to find something. */
const BROKEN: Record<CheckName, Break[]> = { ...WIRING, ...RUNNING, ...GUARDS };

/** Copies of these are broken: between them they have one of every kind. */
const WHOLE: [name: string, ...components: string[]][] = [
  ['overlays/production', 'external-secrets'],
  ['base', 'ingress', 'postgres', 'redis', 'monitoring', 'autoscale-qps', 'tracing'],
];

describeWith('kubectl', 'Broken Kubernetes manifests', () => {
  let rendered: Manifest[][];
  beforeAll(async () => {
    rendered = await Promise.all(WHOLE.map((combination) => render(...combination)));
  });

  it('were whole before', async () => {
    const said = await Promise.all(rendered.flatMap((objects) => Object.values(CHECKS).map((check) => check(objects))));
    expect(said.flat()).toEqual([]);
  });

  const cases = Object.entries(BROKEN).flatMap(([check, breaks]) =>
    breaks.map((one) => [check, ...one] as [CheckName, ...typeof one]),
  );

  it.each(cases)('%s: not with %s%s = %j', async (check, id, path, value, says) => {
    const objects = structuredClone(rendered.find((all) => all.some((object) => isCalled(object, id))) as Manifest[]);
    const index = objects.findIndex((object) => isCalled(object, id));
    if (path) change(objects[index], path, value);
    else objects.splice(index, 1, ...(value ? [value as Manifest] : []));
    expect(await CHECKS[check](objects)).toEqual(expect.arrayContaining([expect.stringContaining(says)]));
  });

  it('has a misspelt field in it: it is found, whichever it is', async () => {
    const missed: string[] = [];
    let tried = 0;
    for (const object of rendered.flat()) {
      for (const path of fieldsOf(object).filter((one) => !['/apiVersion', '/kind', '/metadata'].includes(one))) {
        const copy = structuredClone(object);
        const [, parent, key] = /^(.*)\/([^/]+)$/.exec(path) as unknown as [string, string, string];
        const fields = at(copy, parent);
        fields[`${plain(key)}x`] = fields[plain(key)];
        delete fields[plain(key)];
        tried += 1;
        const said = await CHECKS['has only fields that exist, of the right type']([copy]);
        if (!said.some((line) => line.includes(`${plain(key)}x`))) missed.push(`${idOf(object)}${path}`);
      }
    }
    expect(tried).toBeGreaterThan(1000);
    expect(missed).toEqual([]);
  });
});

const isCalled = (object: Manifest, id: string) =>
  idOf(object).replace(/-[2456789bcdfghkmt]{10}$/, '') === id || idOf(object) === id;

/** A field's name, as a JSON Pointer has it. */
const plain = (key: string) => key.replaceAll('~1', '/');

const at = (value: unknown, path: string) =>
  path
    .split('/')
    .slice(1)
    .reduce<Record<string, unknown>>((within, key) => within[plain(key)] as never, value as never);

function change(object: unknown, path: string, value: unknown): void {
  const end = path.lastIndexOf('/');
  const fields = at(object, path.slice(0, end));
  const key = plain(path.slice(end + 1));
  if (value === undefined && !(key in fields)) throw new Error(`${path} is not there to be taken away`);
  if (typeof value === 'function') fields[key] = value(fields[key]);
  else if (value !== undefined) fields[key] = value;
  else if (Array.isArray(fields)) fields.splice(Number(key), 1);
  else delete fields[key];
}

/** Every field of an object, but not the keys of a map, which are free. */
function fieldsOf(value: unknown, path = ''): string[] {
  if (typeof value !== 'object' || value === null || MAP.test(path)) return [];
  return Object.entries(value).flatMap(([key, child]) => {
    const here = `${path}/${key.replaceAll('/', '~1')}`;
    return [...(Array.isArray(value) ? [] : [here]), ...fieldsOf(child, here)];
  });
}

const MAP =
  /\/(?:labels|annotations|data|matchLabels|requests|limits|parameters|config)$|^\/spec\/selector$|\/triggers\/\d+\/metadata$/;
