import { readFileSync } from 'node:fs';
import { describeWith } from '../support/program.js';
import { at, change, fieldsOf, isCalled, plain } from './change.js';
import { COMBINATIONS } from './combinations.js';
import { enumerationComplaints } from './enumerations.js';
import type { Manifest } from './objects.js';
import { download, type Found, KUBERNETES, ownerOf, PROJECTS } from './projects.js';
import { render } from './render.js';
import { customSchemasOf, type Schemas, schemasOf } from './schema.js';

type Break = [object: string, path: string, value: unknown, says: string];

/** Broken fields, by the project whose schemas must find them. */
const BROKEN: Record<string, Break[]> = {
  Kubernetes: [
    ['Deployment/floodgate', '/spec/template/spec/containers/0/ports/0/containerPort', '3000', 'must be integer'],
    ['Deployment/floodgate', '/spec/selector', undefined, "must have required property 'selector'"],
    ['Service/floodgate', '/apiVersion', 'v2', 'no schema for v2'],
  ],
  'Gateway API': [['Gateway/floodgate', '/spec/listeners/0/port', '80', 'must be integer']],
  'NGINX Gateway Fabric': [
    ['RateLimitPolicy/floodgate', '/spec/rateLimit/local/rules/0/rate', '100/s', '/rate must match pattern'],
    ['RateLimitPolicy/floodgate', '/spec/rateLimit/local/rules/0/rejectCode', 429, '/rejectCode is not a field'],
  ],
  CloudNativePG: [
    ['Cluster/floodgate-db', '/spec/instances', 'three', '/instances must be integer'],
    ['Pooler/floodgate-db-pooler', '/spec/type', 'all', 'must be equal to one of'],
  ],
  KEDA: [['ScaledObject/floodgate', '/spec/scaleTargetRef/name', undefined, "must have required property 'name'"]],
  ECK: [['Elasticsearch/floodgate', '/spec/nodeSets/0/podTemplate/spec/containers/0/name', undefined, '/podTemplate']],
};

let objects: Manifest[];

// An API server also checks rules that schemas lack, such as CEL: `npm run test:cluster` uses a real one.
describeWith('kubectl', 'The fields of Kubernetes manifests', () => {
  beforeAll(async () => {
    const rendered: Manifest[] = [];
    for (const combination of COMBINATIONS) rendered.push(...(await render(...combination)));
    objects = [...new Map(rendered.map((object) => [JSON.stringify(object), object])).values()];
  });

  it('have only values that Kubernetes enumerates', async () => {
    const own = objects.filter((object) => ownerOf(object) === KUBERNETES);
    expect((await Promise.all(own.map(enumerationComplaints))).flat()).toEqual([]);
    const wrong = structuredClone(own.find(({ kind }) => kind === 'Deployment') as Manifest);
    change(wrong, '/spec/strategy/type', 'Rolling');
    expect(await enumerationComplaints(wrong)).toEqual([
      expect.stringContaining('/strategy/type must be equal to one of'),
    ]);
  });

  it('are checked with the versions that the docs promise', () => {
    const text = readFileSync('docs/operations.md', 'utf8');
    const [, before = '', newest = ''] = /^([\s\S]*)The newest are ([\s\S]*?)\n\n/.exec(text) ?? [];
    for (const { name, versions } of PROJECTS) {
      const [from, to] = versions.map((version) => `${name} ${version.replace(/\.\d+$/, '')}`);
      expect(before).toContain(`${from} `);
      expect(`${newest.replaceAll('\n', ' ')} `).toMatch(new RegExp(`${to}[ ,.]`));
    }
  });

  describeWith('go', 'by the schemas of the projects that define them', (go) => {
    const wanted = PROJECTS.flatMap((project) => project.versions.map((version) => ({ project, version })));
    const found: Found[] = go ? download(go, wanted) : wanted.map((one) => ({ ...one, refused: 'Go is missing' }));
    const folderOf = (of: string) =>
      found.find(({ project, version }) => project === KUBERNETES && version === of)?.folder;

    for (const { project, version, folder = '', refused } of found) {
      const name = `${project.name} ${version}`;
      const kubernetes = folderOf(KUBERNETES.versions[project.versions.indexOf(version)] as string) ?? '';
      if (go && refused)
        process.stderr.write(`The schemas of ${name} were not tried: ${refused.replace(/\s+/g, ' ')}\n`);
      (refused ? describe.skip : describe)(name, () => {
        let complaintsOf: Schemas;
        let own: Manifest[];
        beforeAll(() => {
          complaintsOf = project === KUBERNETES ? schemasOf(folder) : customSchemasOf(folder, kubernetes);
          own = objects.filter((object) => ownerOf(object) === project);
        });

        it('has every field', () => {
          expect(own).not.toEqual([]);
          expect(own.flatMap(complaintsOf)).toEqual([]);
        });

        for (const [id, path, value, says] of BROKEN[project.name] ?? []) {
          it(`finds ${id}${path} = ${value}`, () => {
            const copy = structuredClone(own.find((object) => isCalled(object, id)) as Manifest);
            change(copy, path, value);
            expect(complaintsOf(copy)).toEqual(expect.arrayContaining([expect.stringContaining(says)]));
          });
        }

        it('finds every misspelt field', () => {
          expect(own.flatMap((object) => fieldsOf(object).filter((path) => isMissed(object, path)))).toEqual([]);
        });

        function isMissed(object: Manifest, path: string): boolean {
          if (['/apiVersion', '/kind', '/metadata'].includes(path)) return false;
          const copy = structuredClone(object);
          const [, parent, key] = /^(.*)\/([^/]+)$/.exec(path) as unknown as [string, string, string];
          const fields = at(copy, parent);
          fields[`${plain(key)}x`] = fields[plain(key)];
          delete fields[plain(key)];
          return !complaintsOf(copy).some((line) => line.endsWith(`/${plain(key)}x is not a field`));
        }
      });
    }
  });
});
