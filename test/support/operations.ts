import { readFileSync } from 'node:fs';

interface Schema {
  $ref?: string;
  type?: string;
  format?: string;
  pattern?: string;
  enum?: unknown[];
  examples?: unknown[];
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
}

/** An operation of openapi.json. */
export interface Operation {
  id: string;
  method: string;
  path: string;
  /** The schema of its JSON body. */
  input?: Schema;
  /** A minimal valid body. */
  body?: unknown;
  /** The document's statuses, and the one of success. */
  statuses: number[];
  success: number;
  /** Whether it needs no token. */
  isForAnyone: boolean;
  takesIfMatch: boolean;
  /** The names of its query parameters. */
  query: string[];
  /** Values of its path parameters for which nothing exists. */
  unknown: Record<string, string>;
  /** The path parameters that must have a special form. */
  checked: string[];
}

interface Described {
  operationId: string;
  requestBody?: { content: Record<string, { schema: Schema }> };
  responses: Record<string, unknown>;
  security: object[];
  parameters: { name: string; in: string; schema: Schema }[];
}

const document = JSON.parse(readFileSync('openapi.json', 'utf8'));

const resolved = (schema: Schema): Schema =>
  schema.$ref ? resolved(document.components.schemas[schema.$ref.split('/').at(-1) as string]) : schema;

function example(given: Schema): unknown {
  const { type, examples, enum: values, items, properties = {}, required = [] } = resolved(given);
  if (examples) return examples[0];
  if (values) return values[0];
  if (type === 'array') return items ? [example(items)] : [];
  if (type === 'object') return Object.fromEntries(required.map((name) => [name, example(properties[name] as Schema)]));
  return { string: 'text', boolean: false, number: 1, integer: 1 }[type ?? ''];
}

const isChecked = ({ format, pattern, enum: values, type }: Schema) =>
  Boolean(format ?? pattern ?? values) || type !== 'string';
const unknownOf = (schema: Schema) =>
  resolved(schema).format === 'uuid' ? '01890000-0000-7000-8000-000000000000' : 'unknown';

/** All operations. */
export const operations: Operation[] = Object.entries(
  document.paths as Record<string, Record<string, Described>>,
).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, { operationId, requestBody, responses, security, parameters }]) => {
    const { 'application/json': json, 'application/merge-patch+json': patch } = requestBody?.content ?? {};
    const schema = (json ?? patch)?.schema;
    const statuses = Object.keys(responses).map(Number);
    const namesIn = (where: string) => parameters.filter((one) => one.in === where).map(({ name }) => name);
    const inPath = parameters.filter((one) => one.in === 'path');
    return {
      id: operationId,
      method: method.toUpperCase(),
      path,
      ...(schema ? { input: resolved(schema), body: example(schema) } : {}),
      statuses,
      success: statuses.find((status) => status < 300) ?? 200,
      isForAnyone: security.length === 0 || security.some((one) => Object.keys(one).length === 0),
      takesIfMatch: namesIn('header').includes('if-match'),
      query: namesIn('query'),
      checked: inPath.filter(({ schema }) => isChecked(resolved(schema))).map(({ name }) => name),
      unknown: Object.fromEntries(inPath.map(({ name, schema }) => [name, unknownOf(schema)])),
    };
  }),
);

/** The path of an operation with these values. @throws Error when one is missing */
export const pathOf = ({ id, path }: Operation, values: Record<string, string>): string =>
  path.replace(/\{(\w+)\}/g, (_, name) => {
    if (values[name] === undefined) throw new Error(`${id} needs a value for {${name}} of what its contract makes`);
    return values[name];
  });

/** All names of members in the document's answers and bodies. */
export const memberNames: string[] = [
  ...new Set(
    Object.values(document.components.schemas as Schema[]).flatMap(({ properties }) => Object.keys(properties ?? {})),
  ),
];
