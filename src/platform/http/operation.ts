import { applyDecorators, HttpCode } from '@nestjs/common';
import { ApiExtension, ApiOperation, ApiProduces, ApiResponse } from '@nestjs/swagger';
import { z } from 'zod';
import type { ProblemType } from './problem.js';

interface OperationText {
  description?: string;
  /** What the usual answer is, and the schema of its body, if it has one. */
  answer: string;
  body?: z.ZodType;
  /** Where it is not 200, or 204 without a body. */
  status?: number;
  /** Media type of the answer; JSON, if left out. */
  type?: string;
  /** What 201 means, where a route may also make a thing. */
  created?: string;
  /** Problems beside those that any route of its kind can have (see scripts/openapi.ts). */
  problems?: ProblemType[];
}

/** What the document makes of a route's own words (see scripts/openapi.ts). */
export const PROBLEMS_EXTENSION = 'x-problems';

/**
 * Describes a route once, for the document and for Nest: words, answers and problems.
 * @param id becomes the operationId, and a method's name in a generated client
 */
export function Operation(id: string, summary: string, text: OperationText) {
  const { description, answer, body, status = body ? 200 : 204, type, created, problems = [] } = text;
  const shown = body ? { standardSchema: body } : {};
  const respond = (code: number, words: string) =>
    ApiResponse({ status: code, description: words, headers: headersOf(code, body), ...shown });
  return applyDecorators(
    HttpCode(status),
    ...(type ? [ApiProduces(type)] : []),
    ApiOperation({ operationId: id, summary, ...(description ? { description } : {}) }),
    respond(status, answer),
    ...(created ? [respond(201, created)] : []),
    ApiExtension(PROBLEMS_EXTENSION, problems),
  );
}

/** What was made has a place, what has a version has a tag, and a page has a next one. */
function headersOf(status: number, body: z.ZodType | undefined) {
  const members = body instanceof z.ZodObject ? body.shape : {};
  return {
    ...(status === 201 ? headerRefs('Location') : {}),
    ...('version' in members ? headerRefs('ETag') : {}),
    ...('nextCursor' in members ? headerRefs('Link') : {}),
  } as never;
}

/** Headers of an answer, each described once for all (see scripts/openapi.ts). */
export const headerRefs = (...names: string[]) =>
  Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }]));
