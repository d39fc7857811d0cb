import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import formats from 'ajv-formats';
import { loadAll } from 'js-yaml';
import { idOf, type Manifest } from './objects.js';

type Schema = Record<string, unknown>;

interface CustomResourceDefinition {
  kind: string;
  spec: {
    group: string;
    names: { kind: string };
    versions: { name: string; served: boolean; schema: { openAPIV3Schema: Schema } }[];
  };
}

interface OpenApi {
  components: { schemas: Record<string, Schema> };
}

/** Checks an object with the schema of its kind. @returns its mistakes */
export type Schemas = (object: Manifest) => string[];

const KUBERNETES = 'kubernetes';
const META = 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta';

/** Fields that a CustomResourceDefinition does not specify, because its operator passes them on to Kubernetes. */
const HANDED_ON: Record<string, string> = { podTemplate: 'io.k8s.api.core.v1.PodTemplateSpec' };

/** The schemas in the OpenAPI documents of Kubernetes. */
export function schemasOf(folder: string): Schemas {
  const ajv = create();
  const documents = new Map(readdirSync(folder).map((file) => [file, undefined as OpenApi | undefined]));
  return (object) => {
    const { apiVersion } = object;
    const file = `${apiVersion.includes('/') ? 'apis' : 'api'}__${apiVersion.replace('/', '__')}_openapi.json`;
    if (!documents.has(file)) return missing(object);
    const document = documents.get(file) ?? (strict(readJson(join(folder, file))) as unknown as OpenApi);
    if (!documents.get(file)) ajv.addSchema(document, file);
    documents.set(file, document);
    const { schemas } = document.components;
    const name = Object.keys(schemas).find((one) => isOf(schemas[one], object));
    return name ? said(object, ajv.getSchema(`${file}#/components/schemas/${name}`)) : missing(object);
  };
}

const readJson = (path: string) => JSON.parse(readFileSync(path, 'utf8'));

function isOf(schema: Schema | undefined, { apiVersion, kind }: Manifest): boolean {
  const kinds = schema?.['x-kubernetes-group-version-kind'] as { group: string; version: string; kind: string }[];
  return Boolean(
    kinds?.some((one) => one.kind === kind && [one.group, one.version].filter(Boolean).join('/') === apiVersion),
  );
}

/** The schemas in a project's CustomResourceDefinitions, with those of Kubernetes for the fields that they leave open. */
export function customSchemasOf(folder: string, kubernetes: string): Schemas {
  const ajv = create();
  ajv.addSchema(strict(readJson(join(kubernetes, 'api__v1_openapi.json'))), KUBERNETES);
  const definitions = readdirSync(folder)
    .filter((file) => file.endsWith('.yaml'))
    .flatMap((file) => loadAll(readFileSync(join(folder, file), 'utf8')) as CustomResourceDefinition[])
    .filter(({ kind }) => kind === 'CustomResourceDefinition');
  const validators = new Map<string, ValidateFunction>();
  return (object) => {
    const name = `${object.apiVersion} ${object.kind}`;
    const schema = definitions
      .filter(({ spec }) => spec.names.kind === object.kind)
      .flatMap(({ spec }) =>
        spec.versions.map((version) => ({ ...version, apiVersion: `${spec.group}/${version.name}` })),
      )
      .find(({ apiVersion, served }) => served && apiVersion === object.apiVersion)?.schema.openAPIV3Schema;
    if (!schema) return missing(object);
    const validate = validators.get(name) ?? ajv.compile(strict(withMeta(schema)));
    validators.set(name, validate);
    return said(object, validate);
  };
}

const create = () =>
  formats.default(new Ajv({ allErrors: true, strict: false, logger: false, code: { regExp: goPattern } }));

/** Go writes a pattern's flags at its beginning. */
const goPattern = Object.assign(
  (pattern: string) => new RegExp(pattern.replace('(?i)', ''), pattern.includes('(?i)') ? 'i' : ''),
  {
    code: 'undefined',
  },
);

const refer = (name: string) => ({ $ref: `${KUBERNETES}#/components/schemas/${name}` });

const withMeta = ({ properties, ...schema }: Schema): Schema => ({
  ...schema,
  properties: { ...(properties as Schema), metadata: refer(META) },
});

/** Like an API server with strict validation: an unknown field is a mistake. */
function strict(value: unknown): Schema {
  return copy(value) as Schema;

  function copy(part: unknown, key = ''): unknown {
    if (Array.isArray(part)) return part.map((one) => copy(one));
    if (typeof part !== 'object' || part === null) return part;
    const schema = part as Schema;
    const isOpen = schema['x-kubernetes-preserve-unknown-fields'] === true;
    if (isOpen && key in HANDED_ON) return refer(HANDED_ON[key] as string);
    const copied = Object.fromEntries(Object.entries(schema).map(([name, child]) => [name, copy(child, name)]));
    const isClosed = schema.type === 'object' && schema.properties && !schema.additionalProperties && !isOpen;
    return isClosed ? { ...copied, additionalProperties: false } : copied;
  }
}

const missing = ({ apiVersion, kind }: Manifest) => [`no schema for ${apiVersion} ${kind}`];

function said(object: Manifest, validate?: ValidateFunction): string[] {
  if (!validate) return missing(object);
  return validate(object) ? [] : (validate.errors ?? []).map((error) => `${idOf(object)}: ${lineOf(error)}`);
}

function lineOf({ instancePath, message, params }: ErrorObject): string {
  const { additionalProperty: unknown } = params;
  return unknown ? `${instancePath}/${unknown} is not a field` : `${instancePath} ${message}`;
}
