import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException } from '@nestjs/common';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { databaseProblem } from '../database/database-problem.js';
import { overLimit } from '../throttle/throttle.js';
import { type Connection, linger } from './connections.js';
import { SECURITY } from './headers.js';
import { causeOf, invalid, type Mistake, notFound, Problem, type ProblemType, problemTypes } from './problem.js';
import { asPublic } from './public-path.js';
import { requestId } from './request-guard.js';
import { splitUrl } from './split-url.js';

const MISTAKES_LOGGED = 3;

/** Details for Fastify's own errors, by their codes; for other codes the status is enough. */
const FASTIFY_PROBLEMS: Record<string, string> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'The Content-Type is missing or not supported by this route.',
  FST_ERR_BAD_URL: 'The path is not valid percent-encoded UTF-8.',
  FST_ERR_MAX_PARAM_LENGTH: 'A part of the path is too long.',
};

/**
 * The one place where an error of any origin (ours, Nest's, Fastify's, TypeORM's, a crash) becomes a problem for the
 * caller. Only a Problem's own text reaches the caller.
 */
function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  const database = databaseProblem(error);
  if (database) return database;
  const { code = '', statusCode } = (error ?? {}) as { code?: string; statusCode?: number };
  if (code === 'ECONNRESET' || code === 'ABORT_ERR') return invalid('The request was cut off.');
  const status = error instanceof HttpException ? error.getStatus() : statusCode;
  if (status === 404) return notFound();
  const type = (Object.keys(problemTypes) as ProblemType[]).find((name) => problemTypes[name].status === status);
  if (!type || type === 'internal-error')
    return new Problem('internal-error', 'The error was logged under this request id.');
  return new Problem(type, FASTIFY_PROBLEMS[code] ?? 'The request was refused.');
}

/** The first mistakes as text. They name members, never values, so they may be logged. */
const where = ({ members: { errors = [] } }: Problem): string =>
  (errors as Mistake[])
    .slice(0, MISTAKES_LOGGED)
    .map(({ pointer, detail }) => ` ${pointer} ${detail}`)
    .join(';');

/** Answers a failed request with its problem document. Logs server errors, and why a request was not valid. */
export function answerProblem(request: FastifyRequest, reply: FastifyReply, error: unknown): void {
  const problem = overLimit(request, reply) ?? toProblem(error);
  if (problem.status >= 500 || problem.status === 400) {
    const level = problem.status === 500 ? 'error' : problem.status === 400 ? 'info' : 'warn';
    const failure = level === 'info' ? undefined : causeOf(error);
    const about = { ...(failure ? { err: failure } : {}), http: { request: { id: request.id } } };
    request.log[level](about, `answered ${problem.status}: ${problem.detail}${where(problem)}`);
  }
  if (reply.sent) return;
  if (linger(request.raw)) reply.header('connection', 'close');
  const instance = asPublic(request.server.getDecorator('publicPath'), splitUrl(request.url)[0]);
  reply
    .code(problem.status)
    // It may be set already, for the intended answer or for a stream that failed before its first byte.
    .removeHeader('content-encoding')
    .headers({
      // The router fails before any hook has set these.
      'x-request-id': request.id,
      'cache-control': 'no-store',
      // Every 401 names a way to prove who you are (RFC 9110, 15.5.2).
      ...(problem.status === 401 ? { 'www-authenticate': 'Bearer' } : {}),
      ...problem.headers,
      'content-type': 'application/problem+json',
    })
    // As bytes, since Fastify would add a charset to text, which this media type does not have.
    .send(Buffer.from(JSON.stringify(problem.toDocument(instance, request.id))));
}

/** Catches whatever Nest's pipeline throws. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    answerProblem(http.getRequest<FastifyRequest>(), http.getResponse<FastifyReply>(), error);
  }
}

/** Answers what the HTTP parser refuses, which has no request yet: on the socket, once, after earlier requests. */
export function answerClientError(error: Error & { code?: string }, socket: Connection): void {
  if (error.code === 'ECONNRESET' || !socket.writable || socket.isLingering) return void socket.destroy();
  const current = socket._httpMessage;
  if (current?.req.complete) {
    socket.pause();
    return void current.once('close', () => answerClientError(error, socket.resume()));
  }
  if (current?.headersSent) return void current.once('close', () => socket.destroySoon());
  const problem = CLIENT_PROBLEMS[error.code ?? ''] ?? invalid('This is not a valid HTTP request.');
  const id = requestId({ headers: {} });
  const body = JSON.stringify(problem.toDocument('', id));
  const headers = Object.entries({
    'content-type': 'application/problem+json',
    'content-length': Buffer.byteLength(body),
    ...SECURITY,
    'x-request-id': id,
    'cache-control': 'no-store',
    connection: 'close',
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\n${headers.join('')}\r\n${body}`);
}

/** Answers CONNECT, for which Node would end the connection without an answer. */
export function refuseTunnels({ server }: FastifyInstance): void {
  server.on('connect', (_request, socket: Socket) => {
    socket.on('error', () => undefined);
    answerClientError(new Error('CONNECT'), socket);
  });
}

const CLIENT_PROBLEMS: Partial<Record<string, Problem>> = {
  HPE_HEADER_OVERFLOW: new Problem('headers-too-large', 'The headers are larger than this server reads.'),
  ERR_HTTP_REQUEST_TIMEOUT: new Problem('request-timeout', 'The request did not arrive in time.'),
};
