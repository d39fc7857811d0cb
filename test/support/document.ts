import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { narrowedDocument } from './narrowed.js';
import { isShared } from './shared.js';

interface ResponseObject {
  $ref?: string;
  headers?: Record<string, { $ref?: string; required?: boolean }>;
  content?: Record<string, { schema: object }>;
}
type Operation = { responses: Record<string, ResponseObject> };
type Schema = { [key: string]: unknown };

const document = narrowedDocument((_key, value) => closed(value));

/** Clients must tolerate new fields; here, a field that the document does not have is drift. */
function closed(value: Schema): Schema {
  const isOpen =
    value && typeof value === 'object' && value.type === 'object' && value.additionalProperties === undefined;
  return isOpen && value.properties ? { ...value, additionalProperties: false } : value;
}

const ajv = new Ajv2020({ strict: false, allErrors: true });
(addFormats as unknown as (ajv: Ajv2020) => void)(ajv);
ajv.addSchema(document, 'openapi');
const validators = new Map<object, ValidateFunction>();

const templates = Object.keys(document.paths)
  .map((path) => ({ path, pattern: new RegExp(`^${path.replace(/\{[^}]+\}/g, '[^/]+')}$`) }))
  // A fixed segment wins over a parameter, as in the router.
  .sort((a, b) => a.path.split('{').length - b.path.split('{').length);

/**
 * The differences between an answer and the document, one line each; none for a path that is not in it.
 * The path is used as it was sent: a URL object would resolve `/data/./stats`, which the server does not.
 */
export function drift(method: string, path: string, status: number, headers: Headers, text: string): string[] {
  const [pathname = ''] = path.split(/[?#]/, 1);
  const template = templates.find(({ pattern }) => pattern.test(pathname));
  const name = method === 'HEAD' ? 'get' : method.toLowerCase();
  const operation = template && (document.paths[template.path][name] as Operation | undefined);
  if (!operation) return [];
  const where = `${method} ${template.path} ${status}`;
  const response = resolve(operation.responses[status] as ResponseObject | undefined);
  if (!response) return [`${where}: the status is not in the document`];
  return [
    ...headerDrift(response, headers),
    ...ownDrift(status, method, headers, pathname),
    ...bodyDrift(response, headers, text, method),
  ].map((line) => `${where}: ${line}`);
}

function resolve<T extends { $ref?: string }>(value: T | undefined): T | undefined {
  if (!value?.$ref) return value;
  return value.$ref
    .slice(2)
    .split('/')
    .reduce((at, step) => at[step], document);
}

/** Headers that HTTP, the server or a proxy may add to any answer, or CORS when it is configured. */
const UNNAMED = new Set([
  'connection',
  'content-length',
  'content-type',
  'date',
  'keep-alive',
  'server',
  'transfer-encoding',
  'access-control-allow-origin',
  'access-control-expose-headers',
]);

function headerDrift({ headers: named = {} }: ResponseObject, headers: Headers): string[] {
  const known = new Map(Object.entries(named).map(([name, header]) => [name.toLowerCase(), resolve(header)]));
  const unknown = [...headers.keys()].filter((name) => !known.has(name) && !UNNAMED.has(name));
  const missing = [...known].filter(([name, header]) => header?.required && !headers.has(name)).map(([name]) => name);
  return [
    ...unknown.map((name) => `the header ${name} is not in the document`),
    ...missing.map((name) => `the header ${name} is missing`),
  ];
}

/**
 * Every answer that no shared cache may store has an id and, below /api, the rest of its limits; no other has. Exceptions are
 * requests that the HTTP parser refuses.
 */
function ownDrift(status: number, method: string, headers: Headers, pathname: string): string[] {
  if ([400, 408, 431].includes(status) && headers.get('connection') === 'close') return [];
  // A 304 is of an answer that was 200.
  const isForMany = isShared(method, {}, status === 304 ? 200 : status, Object.fromEntries(headers));
  const isLimited = !isForMany && pathname.startsWith('/api/');
  const expected = { 'x-request-id': !isForMany, ratelimit: isLimited, 'ratelimit-policy': isLimited };
  return Object.entries(expected)
    .filter(([name, isThere]) => headers.has(name) !== isThere)
    .map(([name, isThere]) => `the header ${name} is ${isThere ? 'missing' : 'too much'}`);
}

function bodyDrift({ content = {} }: ResponseObject, headers: Headers, text: string, method: string): string[] {
  if (text === '' || method === 'HEAD') return [];
  const type = headers.get('content-type')?.split(';')[0] ?? 'no type';
  const media = content[type];
  if (!media) return [`a body of ${type} is not in the document`];
  if (!/[/+]json$/.test(type)) return [];
  let validate = validators.get(media);
  if (!validate) {
    validate = ajv.compile(qualified(media.schema));
    validators.set(media, validate);
  }
  if (validate(JSON.parse(text))) return [];
  return (validate.errors ?? []).map(({ instancePath, message }) => `the body at ${instancePath || '/'} ${message}`);
}

/** A validator for the document's schema of this name. */
export const schemaOf = (name: string): ValidateFunction =>
  ajv.compile(qualified({ $ref: `#/components/schemas/${name}` }));

/** The same schema with its references into the document. */
const qualified = (schema: object): object =>
  JSON.parse(JSON.stringify(schema).replaceAll('"#/components/', '"openapi#/components/'));
