import { applyDecorators, HttpCode } from '@nestjs/common';
import { ApiOperation, ApiResponse } from '@nestjs/swagger';
import { z } from 'zod';
import { type ProblemType, problemTypes, problemUri } from './problem.js';

interface OperationText {
  /** Becomes the operationId, and a method's name in a generated client. */
  id: string;
  summary: string;
  description?: string;
  /** The usual answer: status, what it is, and the schema of its body, if it has one. */
  status?: number;
  answer: string;
  body?: z.ZodType;
  /** What 201 means, where a route may also make a thing. */
  created?: string;
  /** The answer's headers, by name, with what they say. */
  headers?: Record<string, string>;
  /** Problems beside those that any route of its kind can have. */
  problems?: ProblemType[];
}

const problemSchema = z
  .object({
    type: z.string().meta({
      description: 'Which problem it is.',
      enum: (Object.keys(problemTypes) as ProblemType[]).map(problemUri),
    }),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    instance: z.string().meta({ description: 'The path that was asked for.' }),
    requestId: z.string(),
    errors: z
      .array(z.object({ pointer: z.string(), detail: z.string() }))
      .optional()
      .meta({ description: 'What is wrong: a JSON Pointer into the body, or the name of a parameter.' }),
  })
  .meta({ id: 'Problem', description: 'What went wrong (RFC 9457).' });

/** A response of the document for all problem types of one status. */
export const problemResponse = (types: ProblemType[]) => ({
  description: [...new Set(types.map((type) => problemTypes[type].title))].join('; or: '),
  content: {
    'application/problem+json': { schema: { $ref: `#/components/schemas/${problemSchema.meta()?.id}` } },
  },
});

/** Describes a route once, for the document and for Nest: id, words, answers and problems. */
export function Operation(operation: OperationText) {
  const { id, summary, description, status = 200, answer, body, headers, created, problems = [] } = operation;
  const headerObjects = Object.fromEntries(
    Object.entries(headers ?? {}).map(([name, text]) => [
      name,
      { description: text, schema: { type: 'string' as const } },
    ]),
  );
  const schema = body ? { standardSchema: body } : {};
  const statuses = [...new Set(problems.map((type) => problemTypes[type].status))];
  return applyDecorators(
    HttpCode(status),
    ApiOperation({ operationId: id, summary, ...(description ? { description } : {}) }),
    ApiResponse({ status, description: answer, headers: headerObjects, ...schema }),
    ...(created
      ? [ApiResponse({ status: 201, description: created, headers: headerObjects, ...schema })]
      : []),
    ...statuses.map((problemStatus) =>
      ApiResponse({
        status: problemStatus,
        ...problemResponse(problems.filter((type) => problemTypes[type].status === problemStatus)),
      }),
    ),
  );
}
