import { applyDecorators, HttpCode } from '@nestjs/common';
import { ApiExtension, ApiOperation, ApiProduces, ApiResponse } from '@nestjs/swagger';
import { z } from 'zod';
import type { ProblemType } from './problem.js';

interface OperationText {
  description?: string;
  /** Describes the usual answer. */
  answer: string;
  /** The schema of its body, if it has one. */
  body?: z.ZodType;
  /** By default 200, or 204 without a body. */
  status?: number;
  /** Media types of the answer; JSON by default. */
  type?: string | string[];
  /** Headers that scripts/openapi.ts describes, beside those that follow from the body. */
  headers?: string[];
  /** Describes 201, for a route that may also create a resource. */
  created?: string;
  /** Problems in addition to those of every route of its kind (see scripts/openapi.ts). */
  problems?: ProblemType[];
}

/** The vendor extension that hands a route's problems to scripts/openapi.ts. */
export const PROBLEMS_EXTENSION = 'x-problems';

/**
 * Describes a route once, for the OpenAPI document and for Nest: texts, answers and problems.
 * @param id the operationId, which names the method in a generated client
 */
export function Operation(id: string, summary: string, text: OperationText) {
  const { description, answer, body, status = body ? 200 : 204, type, headers = [], created, problems = [] } = text;
  const shown = body ? { standardSchema: body } : {};
  const respond = (code: number, words: string) =>
    ApiResponse({ status: code, description: words, headers: headersOf(code, body, headers), ...shown });
  return applyDecorators(
    HttpCode(status),
    ...(type ? [ApiProduces(...[type].flat())] : []),
    ApiOperation({ operationId: id, summary, ...(description ? { description } : {}) }),
    respond(status, answer),
    ...(created ? [respond(201, created)] : []),
    ApiExtension(PROBLEMS_EXTENSION, problems),
  );
}

/** Location for a created resource, ETag for a body with a version, Link for a page of a list. */
function headersOf(status: number, body: z.ZodType | undefined, others: string[]) {
  const members = body instanceof z.ZodObject ? body.shape : {};
  return {
    ...(status === 201 ? headerRefs('Location') : {}),
    ...('version' in members ? headerRefs('ETag') : {}),
    ...('nextCursor' in members ? headerRefs('Link') : {}),
    ...headerRefs(...others),
  } as never;
}

/** References to the headers that scripts/openapi.ts describes. */
export const headerRefs = (...names: string[]) =>
  Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }]));
