import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { z } from 'zod';
import { ANYONE_EXTENSION } from './platform/http/caller.js';
import { problemResponse } from './platform/http/operation.js';
import { type ProblemType, problemTypes } from './platform/http/problem.js';

const TARGET = 'draft-2020-12';

type Schema = Record<string, unknown>;

const options = {
  target: TARGET,
  io: 'input',
  override: ({ jsonSchema }: { jsonSchema: Schema }) => {
    // The format says it; the pattern by which it is checked is no help to a reader.
    if (jsonSchema.format !== undefined || jsonSchema.type !== 'string') delete jsonSchema.pattern;
    // In a query everything is text, also what stands for a number.
    if (jsonSchema.type === 'integer' && jsonSchema.default !== undefined)
      jsonSchema.default = Number(jsonSchema.default);
  },
} as const;

/** A schema with an id becomes a component of that name; any other stands where it is used. */
function toJsonSchema(schema: z.ZodType): Schema {
  const { id } = schema.meta() ?? {};
  return id ? { $ref: `#/components/schemas/${id}` } : withoutRoot(z.toJSONSchema(schema, options));
}

const withoutRoot = ({ $schema, $id, id, ...rest }: Schema): Schema => rest;

/** All schemas with an id. Taken as they go in, objects stay open for fields that come later, as the contract has it. */
function components(): Record<string, Schema> {
  const { schemas } = z.toJSONSchema(z.globalRegistry, {
    ...options,
    uri: (id) => `#/components/schemas/${id}`,
  });
  return Object.fromEntries(
    Object.entries(schemas).map(([id, schema]) => [id, withoutRoot(schema as Schema)]),
  );
}

/** The API as OpenAPI 3.1, made from the controllers and their schemas. */
export function createDocument(app: INestApplication): OpenAPIObject {
  const base = new DocumentBuilder()
    .setOpenAPIVersion('3.1.0')
    .setTitle('Floodgate')
    .setDescription('Users, sign-in and JSON data that stay fast and upright under very high concurrency.')
    .setVersion('1')
    .setLicense('MIT', 'https://spdx.org/licenses/MIT.html')
    .addServer('/')
    .addBearerAuth({ type: 'http', scheme: 'bearer', bearerFormat: 'JWT' }, 'accessToken')
    .build();
  const document = SwaggerModule.createDocument(app, base, {
    autoTagControllers: false,
    standardSchemaConverter: (schema) => ({ schema: toJsonSchema(schema as z.ZodType) }),
  });
  document.components = { ...document.components, schemas: components() as never };
  for (const path of Object.values(document.paths)) {
    for (const operation of Object.values(path as Record<string, Operation>)) complete(operation);
  }
  return document;
}

interface Operation {
  responses: Schema;
  security?: Schema[];
  requestBody?: { content: Record<string, { schema: unknown }> };
  [ANYONE_EXTENSION]?: true;
}

/** What holds for every route, said once. */
function complete(operation: Operation): void {
  const common: ProblemType[] = [
    'invalid-request',
    'invalid-token',
    'internal-error',
    'temporary-reduced-capacity',
  ];
  for (const type of common) operation.responses[problemTypes[type].status] ??= problemResponse([type]);
  operation.security = [...(operation[ANYONE_EXTENSION] ? [{}] : []), { accessToken: [] }];
  delete operation[ANYONE_EXTENSION];
  const lines = operation.requestBody?.content['application/x-ndjson'];
  if (lines) lines.schema = { type: 'string', description: 'One JSON object a line, each as in the array.' };
}

/** /openapi.json, and a page for people at /docs that needs nothing from elsewhere. The document is made when first asked for. */
export function serveDocument(app: INestApplication, create: () => OpenAPIObject): void {
  SwaggerModule.setup('docs', app, create, {
    jsonDocumentUrl: 'openapi.json',
    raw: ['json'],
    customSiteTitle: 'Floodgate API',
    swaggerOptions: { persistAuthorization: true, displayRequestDuration: true, tryItOutEnabled: true },
  });
}
