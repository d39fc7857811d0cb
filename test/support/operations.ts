import { readFileSync } from 'node:fs';

interface Schema {
  $ref?: string;
  type?: string;
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

/** Everything that callers can ask for. */
export const operations: Operation[] = Object.entries(
  document.paths as Record<string, Record<string, { operationId: string; requestBody?: { content: object } }>>,
).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, { operationId, requestBody }]) => {
    const content = requestBody?.content as Record<string, { schema: Schema }> | undefined;
    const schema = content?.['application/json']?.schema;
    return {
      id: operationId,
      method: method.toUpperCase(),
      path,
      ...(schema ? { input: resolved(schema), body: example(schema) } : {}),
    };
  }),
);

/** All names that the document gives to members of what it shows and takes. */
export const memberNames: string[] = [
  ...new Set(
    Object.values(document.components.schemas as Schema[]).flatMap(({ properties }) => Object.keys(properties ?? {})),
  ),
];
