import { HttpException } from '@nestjs/common';
import { databaseProblem } from '../database/database-problem.js';
import { invalid, notFound, Problem, type ProblemType, problemTypes } from './problem.js';

/** What Fastify's own errors mean to a caller, by their codes. */
const fastifyProblems: Record<string, [ProblemType, string]> = {
  FST_ERR_CTP_BODY_TOO_LARGE: ['content-too-large', 'The body is larger than this route takes.'],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: [
    'unsupported-media-type',
    'The Content-Type is missing or is not one that this route reads.',
  ],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: ['invalid-request', 'The body is not as long as Content-Length says.'],
  FST_ERR_CTP_EMPTY_JSON_BODY: ['invalid-request', 'The body is empty.'],
  FST_ERR_BAD_URL: ['invalid-request', 'The path is not valid percent-encoded UTF-8.'],
  FST_ERR_MAX_PARAM_LENGTH: ['uri-too-long', 'A part of the path is too long.'],
  FST_ERR_ASYNC_CONSTRAINT: ['invalid-request', 'The request is not valid.'],
};

/** What a status alone means: of problems that share one, the first. */
const byStatus = new Map<number | undefined, ProblemType>(
  Object.entries(problemTypes)
    .map(([type, { status }]) => [status, type as ProblemType] as const)
    .reverse(),
);

/**
 * The one place where an error of any origin (ours, Nest's, Fastify's, TypeORM's, a crash) becomes
 * what the caller is told. Only a Problem's own words reach the caller.
 */
export function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  const database = databaseProblem(error);
  if (database) return database;
  const { code, statusCode } = (error ?? {}) as { code?: string; statusCode?: number };
  const known = code === undefined ? undefined : fastifyProblems[code];
  if (known) return new Problem(...known);
  if (code === 'ECONNRESET' || code === 'ABORT_ERR') return invalid('The request was cut off.');
  const status = error instanceof HttpException ? error.getStatus() : statusCode;
  if (status === 404) return notFound();
  const type = byStatus.get(status) ?? 'internal-error';
  if (type !== 'internal-error') return new Problem(type, 'The request was refused.');
  return new Problem('internal-error', 'The error was logged under this request id.');
}
