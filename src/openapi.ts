import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { z } from 'zod';
import { problemResponse } from './platform/http/operation.js';
import { type ProblemType, problemTypes } from './platform/http/problem.js';

const TARGET = 'draft-2020-12';

type Schema = Record<string, unknown>;

/** A schema with an id becomes a component of that name; any other stands where it is used. */
function toJsonSchema(schema: z.ZodType): Schema {
  const { id } = schema.meta() ?? {};
  return id
    ? { $ref: `#/components/schemas/${id}` }
    : withoutRoot(z.toJSONSchema(schema, { target: TARGET, io: 'input' }));
}

const withoutRoot = ({ $schema, $id, id, ...rest }: Schema): Schema => rest;

/** All schemas with an id. Taken as they go in, objects stay open for fields that come later, as the contract has it. */
function components(): Record<string, Schema> {
  const { schemas } = z.toJSONSchema(z.globalRegistry, {
    target: TARGET,
    io: 'input',
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
    for (const operation of Object.values(path as Record<string, { responses?: Schema }>)) {
      if (operation.responses) addCommonAnswers(operation.responses);
    }
  }
  return document;
}

/** What any route may answer, said once. */
function addCommonAnswers(responses: Schema): void {
  const common: ProblemType[] = [
    'invalid-request',
    'invalid-token',
    'internal-error',
    'temporary-reduced-capacity',
  ];
  for (const type of common) responses[problemTypes[type].status] ??= problemResponse([type]);
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
