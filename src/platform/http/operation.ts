import { applyDecorators, HttpCode } from '@nestjs/common';
import { ApiExtension, ApiOperation, ApiProduces, ApiResponse } from '@nestjs/swagger';
import type { z } from 'zod';
import type { ProblemType } from './problem.js';

export type HeaderName = 'ETag' | 'Link' | 'Location' | 'Idempotency-Replayed' | 'Content-Encoding';

interface OperationText {
  /** Becomes the operationId, and a method's name in a generated client. */
  id: string;
  summary: string;
  description?: string;
  /** The usual answer: status, what it is, and the schema of its body, if it has one. */
  status?: number;
  answer: string;
  body?: z.ZodType;
  /** Media type of the answer; JSON, if left out. */
  type?: string;
  /** What 201 means, where a route may also make a thing. */
  created?: string;
  /** The answer's headers, beside those that any answer has. */
  headers?: HeaderName[];
  /** Problems beside those that any route of its kind can have. */
  problems?: ProblemType[];
}

/** What the document makes of a route's own words (see openapi.ts). */
export const PROBLEMS_EXTENSION = 'x-problems';

/** Describes a route once, for the document and for Nest: id, words, answers and problems. */
export function Operation(operation: OperationText) {
  const {
    id,
    summary,
    description,
    status = 200,
    answer,
    body,
    type,
    headers = [],
    created,
    problems = [],
  } = operation;
  const schema = body ? { standardSchema: body } : {};
  const refs = (names: HeaderName[]) => Object.fromEntries(names.map((name) => [name, headerRef(name)])) as never;
  return applyDecorators(
    HttpCode(status),
    ...(type ? [ApiProduces(type)] : []),
    ApiOperation({ operationId: id, summary, ...(description ? { description } : {}) }),
    ApiResponse({ status, description: answer, headers: refs(headers), ...schema }),
    ...(created
      ? [ApiResponse({ status: 201, description: created, headers: refs([...headers, 'Location']), ...schema })]
      : []),
    ApiExtension(PROBLEMS_EXTENSION, problems),
  );
}

export const headerRef = (name: string) => ({ $ref: `#/components/headers/${name}` });
