import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { type ArgumentsHost, Catch, type ExceptionFilter } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { overLimit } from '../throttle/throttle.js';
import { SECURITY } from './headers.js';
import { Problem } from './problem.js';
import { requestId } from './request-guard.js';
import { toProblem } from './to-problem.js';

const pathOf = (url: string) => url.split('?', 1)[0] as string;

/** Answers a failed request with its problem document, and logs what is our own fault. */
export function answerProblem(request: FastifyRequest, reply: FastifyReply, error: unknown): void {
  const problem = overLimit(request, reply) ?? toProblem(error);
  if (problem.status >= 500) {
    request.log[problem.status === 500 ? 'error' : 'warn'](
      { err: error, http: { request: { id: request.id } } },
      `answered ${problem.status}: ${problem.detail}`,
    );
  }
  if (reply.sent) return;
  // What is left of an unread body would be taken for the next request.
  if (!request.raw.complete && hasBody(request)) reply.header('connection', 'close');
  reply
    // Of a stream that failed before its first byte.
    .removeHeader('content-encoding')
    .code(problem.status)
    // Of the answer that was to be.
    .removeHeader('content-encoding')
    .headers({
      // The router's own errors come before any hook.
      ...SECURITY,
      'x-request-id': request.id,
      'cache-control': 'no-store',
      // Every 401 names a way to prove who you are (RFC 9110, 15.5.2).
      ...(problem.status === 401 ? { 'www-authenticate': 'Bearer' } : {}),
      ...problem.headers,
      'content-type': 'application/problem+json',
    })
    // Bytes, because Fastify would give text a charset, which this media type does not have.
    .send(Buffer.from(JSON.stringify(problem.toDocument(pathOf(request.url), request.id))));
}

const hasBody = ({ headers }: FastifyRequest) =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length']) > 0;

/** The last filter: whatever Nest's pipeline throws. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    answerProblem(http.getRequest<FastifyRequest>(), http.getResponse<FastifyReply>(), error);
  }
}

const SECURITY_LINES = Object.entries(SECURITY)
  .map(([name, value]) => `${name}: ${value}\r\n`)
  .join('');

/** What the HTTP parser refuses has no request yet: the answer is written on the socket. */
export function answerClientError(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
  const problem = clientProblem(error.code);
  const id = requestId({ headers: {} });
  const body = JSON.stringify(problem.toDocument('', id));
  socket.end(
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\n` +
      `content-type: application/problem+json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n` +
      `${SECURITY_LINES}x-request-id: ${id}\r\ncache-control: no-store\r\nconnection: close\r\n\r\n${body}`,
  );
}

function clientProblem(code: string | undefined): Problem {
  if (code === 'HPE_HEADER_OVERFLOW')
    return new Problem('headers-too-large', 'The headers are larger than this server reads.');
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return new Problem('request-timeout', 'The request did not arrive in time.');
  return new Problem('invalid-request', 'This is not a valid HTTP request.');
}
