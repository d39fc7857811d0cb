import { createHash } from 'node:crypto';
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { ApiHeader } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import type { Caller } from '../http/caller.js';
import { invalid, Problem } from '../http/problem.js';

/** How long an answer is kept for replay, as a PostgreSQL interval. */
export const KEPT = "interval '24 hours'";

/** Marks a replayed answer. */
export const REPLAYED = { 'idempotency-replayed': 'true' };

/** A key that the caller chooses for a request, so that it takes effect once. */
export interface IdempotencyKey {
  callerId: string;
  key: string;
}

const BAD_KEY = [{ pointer: 'idempotency-key', detail: 'must have 1 to 255 ASCII characters' }];
/** HTTP strips blanks at both ends of a header. */
const KEY = /^[!-~]([ -~]{0,253}[!-~])?$/;

/** The request's Idempotency-Key, or undefined. @throws Problem invalid-request when it is not 1 to 255 characters */
export const CurrentIdempotencyKey = createParamDecorator((_: unknown, context: ExecutionContext) => {
  const request = context.switchToHttp().getRequest<FastifyRequest>();
  const key = request.headers['idempotency-key'];
  if (key === undefined) return undefined;
  if (typeof key !== 'string' || !KEY.test(key)) throw invalid('A header is not valid.', BAD_KEY);
  return { callerId: (request.caller as Caller).id, key } satisfies IdempotencyKey;
});

export const ApiIdempotencyKey = () =>
  ApiHeader({
    name: 'idempotency-key',
    required: false,
    description:
      'A key that you choose for this request, so that it takes effect once: a retry with the same content within 24 hours gets the first answer. A refused request that stored nothing leaves its key free, also for another body.',
    schema: { type: 'string', pattern: KEY.source },
  });

export const fingerprintOf = (...parts: string[]) => createHash('sha256').update(JSON.stringify(parts)).digest();

export const isRunning = () =>
  new Problem('conflict', 'A request with this Idempotency-Key is still running.', {}, { 'retry-after': '1' });

export const isOtherRequest = () =>
  new Problem('idempotency-key-reused', 'This Idempotency-Key was used with another request.');
