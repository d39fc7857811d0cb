import type { Client } from './client.js';
import { clientsAt, makeFor } from './contracts.js';
import { narrowedDocument } from './narrowed.js';
import { operations } from './operations.js';

// biome-ignore lint/suspicious/noExplicitAny: a schema is any JSON
type Schema = any;

interface Parameter {
  name: string;
  in: 'path' | 'query' | 'header';
  schema: Schema;
}

/** A place in a request for a text of the caller, from openapi.json. */
export interface Place {
  /** 'POST /api/v1/auth/login body /email' */
  name: string;
  in: 'path' | 'query' | 'header' | 'body';
  /** The document's pattern for the text, if there is one. */
  pattern?: string;
  /** All allowed values, if they are enumerated. */
  values?: string[];
  /** A valid request with these raw bytes in the place: in a body, within the quotes. */
  request(bytes: Buffer | string): Buffer;
}

/** The caller, and the path parameters of each operation by its id. */
export interface Around {
  client: Client;
  values: Record<string, Record<string, string>>;
}

const document = narrowedDocument();
const resolve = (value: Schema): Schema =>
  value?.$ref
    ? resolve(
        value.$ref
          .slice(2)
          .split('/')
          .reduce((at: Schema, step: string) => at[step], document),
      )
    : value;

/** A placeholder for the bytes. */
const MARK = '@@here@@';

/** Things for every operation, owned by an admin. */
export async function aroundOf(admin: Client): Promise<Around> {
  const clients = { ...(await clientsAt(admin)), 'the owner': admin };
  const values: Around['values'] = {};
  for (const operation of operations) values[operation.id] = (await makeFor(operation, clients)).values;
  return { client: admin, values };
}

/** Every place of every route of the document. */
export function placesOf(around: Around): Place[] {
  const routes = Object.entries(document.paths as Record<string, Record<string, Schema>>).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
  );
  return routes.flatMap(({ path, method, operation }) => {
    const parameters: Parameter[] = (operation.parameters ?? []).map(resolve);
    const bodies = Object.entries(operation.requestBody?.content ?? {}) as [string, { schema: Schema }][];
    const named = (one: Omit<Place, 'request' | 'name'>, what: string, parts: Parts): Place => ({
      ...one,
      name: `${method} ${path} ${one.in} ${what}`,
      request: (bytes) =>
        build(method, path, parameters, around, operation.operationId, parts, Buffer.from(bytes as string, 'latin1')),
    });
    const [type, body] = bodies.at(-1) ?? [];
    const sample = body && { type: type as string, text: JSON.stringify(sampleOf(itemOf(body.schema))) };
    return [
      ...parameters.map(({ name, in: where, schema }) =>
        named({ in: where, pattern: schema.pattern, values: schema.enum }, name, { marked: name, body: sample }),
      ),
      ...bodies.flatMap(([type, { schema }]) =>
        textsOf(itemOf(schema)).map(([pointer, pattern, value]) =>
          named({ in: 'body', pattern }, `${type} ${pointer}`, {
            body: { type, text: schema.type === 'array' ? `[${JSON.stringify(value)}]` : JSON.stringify(value) },
          }),
        ),
      ),
    ];
  });
}

interface Parts {
  /** The parameter whose value is the mark. */
  marked?: string;
  body?: { type: string; text: string } | undefined;
}

/** The schema of an element of an array or a line of an upload. */
function itemOf(schema: Schema): Schema {
  const { items, type } = resolve(schema) ?? {};
  if (items) return resolve(items);
  return type === 'string' ? resolve({ $ref: '#/components/schemas/RecordInput' }) : resolve(schema);
}

/** A valid value. */
function sampleOf(schema: Schema): unknown {
  const { examples, enum: values, type, format, properties = {}, required = [] } = resolve(schema);
  if (examples) return examples[0];
  if (values) return values[0];
  if (type === 'boolean') return false;
  if (format === 'date-time') return '2001-01-01T12:30:00Z';
  if (type !== 'object') return 'a text';
  return Object.fromEntries(required.map((name: string) => [name, sampleOf(properties[name])]));
}

/** Each text in an object: its pointer, its pattern, and the object with the mark in its place. */
function textsOf(schema: Schema): [pointer: string, pattern: string | undefined, value: unknown][] {
  const { properties } = resolve(schema);
  const whole = sampleOf(schema) as object;
  return Object.entries(properties).flatMap(([name, member]): ReturnType<typeof textsOf> => {
    const { type, anyOf, pattern, propertyNames } = resolve(member);
    const put = (value: unknown) => ({ ...whole, [name]: value });
    if (propertyNames) {
      return [
        [`/${name}/value`, undefined, put({ a: [{ b: MARK }] })],
        [`/${name}/name`, propertyNames.pattern, put({ a: [{ [MARK]: 1 }] })],
      ];
    }
    const text = type === 'string' ? { pattern } : anyOf?.map(resolve).find((one: Schema) => one.type === 'string');
    return text ? [[`/${name}`, text.pattern, put(MARK)]] : [];
  });
}

function build(
  method: string,
  path: string,
  parameters: Parameter[],
  { client, values }: Around,
  id: string,
  { marked, body }: Parts,
  bytes: Buffer,
): Buffer {
  const textOf = (name: string) => (name === marked ? MARK : values[id]?.[name]);
  const filled = path.replace(/\{(\w+)\}/g, (_, name) => textOf(name) ?? '');
  const query = parameters.filter(({ name, in: where }) => where === 'query' && name === marked);
  const headers = parameters.filter(({ in: where }) => where === 'header');
  const [before = '', after = ''] = (body?.text ?? '').split(MARK);
  const length = before.length + after.length + (body?.text.includes(MARK) ? bytes.length : 0);
  const head = [
    `${method} ${filled}${query.length > 0 ? `?${marked}=${MARK}` : ''} HTTP/1.1`,
    'Host: localhost',
    'Connection: close',
    `Authorization: Bearer ${client.tokens?.accessToken}`,
    ...headers
      .filter(({ name }) => name === marked || name === 'if-match')
      .map(({ name }) => `${name}: ${name === marked ? MARK : '*'}`),
    ...(body ? [`Content-Type: ${body.type}`, `Content-Length: ${length}`] : []),
  ].join('\r\n');
  const pieces = `${head}\r\n\r\n${body?.text ?? ''}`.split(MARK).map((piece) => Buffer.from(piece, 'latin1'));
  return Buffer.concat(pieces.flatMap((piece, at) => (at === 0 ? [piece] : [bytes, piece])));
}
