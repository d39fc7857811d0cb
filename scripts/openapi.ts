import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import type { z } from 'zod';
import { ANYONE_EXTENSION } from '#built/platform/http/caller.js';
import { SECURITY } from '#built/platform/http/headers.js';
import { headerRefs, PROBLEMS_EXTENSION } from '#built/platform/http/operation.js';
import { Problem, type ProblemType, problemTypes } from '#built/platform/http/problem.js';
import { LINKS } from './openapi-links.ts';
import { problemSchema, type Schema, schemas, toJsonSchema } from './openapi-schemas.ts';

/**
 * What the pattern does not match is refused, but for the lists that RFC 9110 has too. A page fills examples of parameters in,
 * and no example is the tag of a thing that is there.
 */
const IF_MATCH = {
  description:
    'The entity tag (`ETag`) that you last read, like `"3-mws8emx9"`: the change is made if it is still that.',
  schema: { type: 'string', format: 'entity-tag', pattern: '^"[!#-~]*"$' },
};
const IF_NONE_MATCH = {
  description: 'The entity tag (`ETag`) that you have, like `"3-mws8emx9"`: without a newer one, the answer is 304.',
  schema: { type: 'string' },
};

const REQUEST_ID = '5ff37bd8-4707-4d1f-9c3c-0a5a7bdcc3f1';

const NOT_SHARED = 'Not on what a shared cache may give to many.';

/** Headers by name: what they say, and an example. */
const HEADERS: Record<string, [description: string, example: string]> = {
  'X-Request-Id': [`The request's id: the caller's own, or a new one. ${NOT_SHARED}`, REQUEST_ID],
  'Cache-Control': ['What caches may do with the answer.', 'private, no-cache'],
  'CDN-Cache-Control': [
    'What shared caches may do with it, if that is another thing (RFC 9213).',
    'public, max-age=60',
  ],
  Vary: ['Request headers that the answer depends on.', 'Accept-Encoding'],
  'Content-Encoding': ['How the body is compressed, if it is.', 'gzip'],
  ETag: ['The version of the thing, for If-Match and If-None-Match.', '"3-mws8emx9"'],
  'Cache-Status': ['By how many seconds the answer is over its time (RFC 9211), if it is.', 'floodgate; hit; ttl=-3'],
  Link: [
    'What comes next, if there is more (RFC 8288).',
    '</api/v1/data?cursor=WyJ0cmlwcyJd.1pgk6MxKDYn7IWRqQqDs8Y>; rel="next"',
  ],
  Location: ['Where the new thing is.', '/api/v1/data/flights'],
  'RateLimit-Policy': [
    `The limits that the caller is under (draft-ietf-httpapi-ratelimit-headers): \`q\` requests in \`w\` seconds. ${NOT_SHARED}`,
    '"default";q=600;w=60',
  ],
  RateLimit: [
    `What is left of each: no more than \`r\` requests within the next \`t\` seconds. ${NOT_SHARED}`,
    '"default";r=599;t=1',
  ],
  'Retry-After': ['Seconds after which a retry makes sense.', '1'],
  'WWW-Authenticate': ['How to prove who you are (RFC 6750).', 'Bearer error="invalid_token"'],
  'Idempotency-Replayed': ['`true` on an answer that was given before.', 'true'],
  'X-Accel-Buffering': ['Tells proxies to pass a stream on as it comes.', 'no'],
  'Accept-Encoding': ['How a body may be encoded: not at all.', 'identity'],
  ...Object.fromEntries(
    Object.entries(SECURITY).map(([name, value]) => [titled(name), ['Tells browsers what not to do.', value]] as const),
  ),
};

function titled(name: string): string {
  return name.replace(/(^|-)[a-z]/g, (letter) => letter.toUpperCase());
}

const ON_ALL = Object.keys(SECURITY).map(titled);
const ALWAYS = ['X-Request-Id', ...ON_ALL];
const CACHING = ['Cache-Control', 'Vary'];
const LIMITS = ['RateLimit-Policy', 'RateLimit'];
const WITH_PROBLEM: Partial<Record<number, string[]>> = {
  401: ['WWW-Authenticate'],
  409: ['Retry-After'],
  415: ['Accept-Encoding'],
  429: ['Retry-After'],
  503: ['Retry-After'],
};

const TOKEN =
  'The `accessToken` that `POST /api/v1/auth/login` answers with. It ends after 15 minutes at most; `POST /api/v1/auth/refresh` gives the next.';

const DESCRIPTION = `Users, sign-in and JSON data that stay fast and upright under very high concurrency.

To begin: become a user with \`POST /api/v1/auth/register\`, sign in with \`POST /api/v1/auth/login\`, and send the
\`accessToken\` of its answer as \`Authorization: Bearer …\` (on the page: *Authorize*). A closed padlock is a route that you
have a token for. Reads of one thing carry an \`ETag\`; a change needs it in \`If-Match\`.`;

/** Descriptions of tags, in the order in which the page shows them. The tags of other modules stand before the last. */
const TAGS: Record<string, string> = {
  auth: 'Register, sign in, and keep a session.',
  users: 'User accounts: your own and, for admins, all of them.',
  data: 'Collections of JSON records: one record, many at once, all of them, and statistics.',
  operations: 'Health and metrics, for whatever runs the server.',
};

function tagsOf(paths: OpenAPIObject['paths']) {
  const used = new Set(
    Object.values(paths).flatMap((path) =>
      Object.values(path as Record<string, Operation>).flatMap(({ tags }) => tags),
    ),
  );
  const { operations: _, ...first } = TAGS;
  const names = new Set([...Object.keys(first), ...[...used].filter((name) => name !== 'operations'), 'operations']);
  return [...names]
    .filter((name) => used.has(name))
    .map((name) => ({ name, description: TAGS[name] ?? `All about ${name.replaceAll('-', ' ')}.` }));
}

/** The API as OpenAPI 3.1, made from the controllers and their schemas as built: node runs this file as it is. */
export function createDocument(app: INestApplication): OpenAPIObject {
  const base = new DocumentBuilder()
    .setOpenAPIVersion('3.1.0')
    .setTitle('Floodgate')
    .setDescription(DESCRIPTION)
    .setVersion('1')
    .setLicense('MIT', 'https://spdx.org/licenses/MIT.html')
    .addServer('/')
    .addBearerAuth({ type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: TOKEN }, 'accessToken')
    .build();
  const document = SwaggerModule.createDocument(app, base, {
    autoTagControllers: false,
    standardSchemaConverter: (schema) => ({ schema: toJsonSchema(schema as z.ZodType) }),
  });
  document.tags = tagsOf(document.paths);
  const responses: Schema = {};
  for (const [path, operations] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(operations as Record<string, Operation>))
      complete(path, method, operation, responses);
  }
  const used = JSON.stringify([document.paths, responses]);
  document.components = { ...document.components, schemas: schemas(), headers: headers(used), responses } as never;
  return document;
}

/** Those that the text refers to. */
const headers = (text: string): Schema =>
  Object.fromEntries(
    Object.entries(HEADERS)
      .filter(([name]) => text.includes(JSON.stringify(headerRefs(name)[name])))
      .map(([name, [description, example]]) => [
        name,
        { description, required: ON_ALL.includes(name), schema: { type: 'string' }, example },
      ]),
  );

interface Operation {
  operationId: string;
  parameters: { name: string; in: string; required: boolean }[];
  responses: Record<string, { description?: string; headers?: Schema; links?: object; content?: Schema }>;
  security?: Schema[];
  requestBody?: { description?: string; content: Record<string, { schema: unknown; example?: string }> };
  [ANYONE_EXTENSION]?: 'optional' | 'unused';
  tags: string[];
  [PROBLEMS_EXTENSION]: ProblemType[];
}

/** Adds what holds for every route of its kind: headers, problems, who may call. */
function complete(path: string, method: string, operation: Operation, responses: Schema): void {
  const isLimited = path.startsWith('/api/');
  const limits = isLimited ? LIMITS : [];
  const isKeyed = operation.parameters.some(({ name }) => name === 'idempotency-key');
  for (const [status, response] of Object.entries(operation.responses)) {
    response.headers = {
      ...headerRefs(...ALWAYS, ...CACHING, ...(response.content ? ['Content-Encoding'] : []), ...limits),
      ...response.headers,
      ...(response.headers?.ETag ? headerRefs('CDN-Cache-Control') : {}),
      // What may be kept here says so when it is old.
      ...(method === 'get' && (response.headers?.ETag || path.endsWith('/stats')) ? headerRefs('Cache-Status') : {}),
      ...(isKeyed ? headerRefs('Idempotency-Replayed') : {}),
    };
    const links = LINKS[`${operation.operationId} ${status}`];
    if (links) response.links = links;
    if (response.headers.ETag && method === 'get') {
      operation.responses['304'] = {
        description: 'The caller has this version already.',
        headers: headerRefs(...ALWAYS, ...CACHING, 'CDN-Cache-Control', 'Cache-Status', 'ETag', ...limits),
      };
      operation.parameters.push({ name: 'if-none-match', in: 'header', required: false, ...IF_NONE_MATCH });
    }
  }
  // What may also make a thing needs no tag for that.
  const mayMake = method === 'put' && operation.responses['201'] !== undefined;
  operation.parameters = operation.parameters.map((parameter) =>
    parameter.name === 'if-match' ? { name: 'if-match', in: 'header', required: !mayMake, ...IF_MATCH } : parameter,
  );
  const isChange =
    ['put', 'patch', 'delete'].includes(method) || operation.parameters.some(({ name }) => name === 'if-match');
  const problems: ProblemType[] = [
    'invalid-request',
    'invalid-token',
    ...when(isLimited, 'not-acceptable', 'quota-exceeded'),
    // Also where no body is asked for: one may come.
    'request-timeout',
    'content-too-large',
    'unsupported-media-type',
    ...when(path.includes('{'), 'uri-too-long'),
    'headers-too-large',
    'internal-error',
    'temporary-reduced-capacity',
    ...when(method !== 'get' && !operation[ANYONE_EXTENSION], 'forbidden'),
    ...when(path.includes('{') && !mayMake, 'not-found'),
    ...operation[PROBLEMS_EXTENSION],
    ...when(isChange, 'precondition-failed', 'precondition-required'),
    ...when(isKeyed, 'conflict', 'idempotency-key-reused'),
  ];
  for (const [status, types] of Object.entries(Object.groupBy(problems, (type) => problemTypes[type].status))) {
    const name = types.map((type) => titled(type).replaceAll('-', '')).join('Or');
    responses[name] ??= problemResponse(types, Number(status));
    operation.responses[status] = { $ref: `#/components/responses/${name}` } as never;
  }
  const token = operation[ANYONE_EXTENSION];
  operation.security = token === 'unused' ? [] : [{ accessToken: [] }, ...(token === 'optional' ? [{}] : [])];
  delete operation[ANYONE_EXTENSION];
  delete (operation as Partial<Operation>)[PROBLEMS_EXTENSION];
  const { requestBody } = operation;
  if (method === 'patch' && requestBody)
    requestBody.description = 'A JSON Merge Patch (RFC 7396), which may also be sent as `application/json`.';
  const lines = requestBody?.content['application/x-ndjson'];
  if (lines) {
    lines.schema = { type: 'string', description: 'One JSON object a line, each as in the array.' };
    lines.example = '{"data":{"to":"Oslo","km":405}}\n{"data":{"to":"Rome","km":1184}}\n';
  }
}

const when = (holds: boolean, ...types: ProblemType[]): ProblemType[] => (holds ? types : []);

/** The answer for all problem types of one status, each with an example. */
function problemResponse(types: ProblemType[], status: number) {
  const examples = types.map((type) => {
    const { title } = problemTypes[type];
    const problem = new Problem(type, `${title}.`);
    return [type, { summary: title, value: problem.toDocument('/api/v1/data/flights', REQUEST_ID) }];
  });
  return {
    description: types.map((type) => problemTypes[type].title).join('; or: '),
    headers: headerRefs(...ALWAYS, ...CACHING, 'Content-Encoding', ...LIMITS, ...(WITH_PROBLEM[status] ?? [])),
    content: {
      'application/problem+json': {
        schema: { $ref: `#/components/schemas/${problemSchema.meta()?.id}` },
        examples: Object.fromEntries(examples),
      },
    },
  };
}
