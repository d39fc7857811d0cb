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

/** An operation as openapi.json has it. */
export interface Operation {
  id: string;
  method: string;
  path: string;
  /** The schema of its JSON body. */
  input?: Schema;
  /** A body that it takes, with no more than it needs. */
  body?: unknown;
  /** Statuses that the document names, and of these what it answers when all is well. */
  statuses: number[];
  success: number;
  /** Needs no token. */
  isForAnyone: boolean;
  takesIfMatch: boolean;
  /** Names of the parameters of its query. */
  query: string[];
  /** Values for the parameters of its path by which nothing is there. */
  unknown: Record<string, string>;
  /** Those of these parameters that cannot be just any text. */
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

/** Everything that callers can ask for. */
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

/** Where an operation is asked for with these values. @throws Error when one is missing */
export const pathOf = ({ id, path }: Operation, values: Record<string, string>): string =>
  path.replace(/\{(\w+)\}/g, (_, name) => {
    if (values[name] === undefined) throw new Error(`${id} needs a value for {${name}} of what its contract makes`);
    return values[name];
  });

/** All names that the document gives to members of what it shows and takes. */
export const memberNames: string[] = [
  ...new Set(
    Object.values(document.components.schemas as Schema[]).flatMap(({ properties }) => Object.keys(properties ?? {})),
  ),
];
