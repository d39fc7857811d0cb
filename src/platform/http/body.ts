import type { IncomingMessage } from 'node:http';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { parseJson } from './json.js';
import { Problem } from './problem.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route takes its body as a stream, as JSON array or NDJSON, and counts the bytes itself. */
    streamed?: boolean;
  }
}

const unsupported = () =>
  new Problem('unsupported-media-type', 'The Content-Type is missing or is not one that this route reads.');

/** Reads JSON types only, and hands the body of a streamed route on as it comes. */
export function registerBodyParsers(fastify: FastifyInstance, limit: number): void {
  fastify.removeAllContentTypeParsers();
  const read = (type: string, isReadBy: (request: FastifyRequest) => boolean | undefined) =>
    fastify.addContentTypeParser(type, async (request: FastifyRequest, payload: IncomingMessage) => {
      if (!isReadBy(request)) throw unsupported();
      assertUtf8(request);
      return request.routeOptions.config.streamed ? payload : parseJson(await readAll(payload, limit));
    });
  read('application/json', () => true);
  read('application/merge-patch+json', ({ method }) => method === 'PATCH');
  read('application/x-ndjson', ({ routeOptions }) => routeOptions.config.streamed);
}

function assertUtf8(request: FastifyRequest): void {
  const charset = /;\s*charset\s*=\s*"?([^";\s]*)/i.exec(request.headers['content-type'] ?? '')?.[1];
  if (charset !== undefined && charset.toLowerCase() !== 'utf-8') throw unsupported();
}

/** @throws Problem content-too-large as soon as the body is known to pass the limit (bytes) */
function readAll(payload: IncomingMessage, limit: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const refuse = () => {
      payload.removeAllListeners('data').resume();
      reject(tooLarge(limit));
    };
    if (Number(payload.headers['content-length']) > limit) return refuse();
    payload.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length > limit) refuse();
      else chunks.push(chunk);
    });
    payload.once('end', () => resolve(Buffer.concat(chunks, length))).once('error', reject);
  });
}

/** The problem of a body that is longer than `limit` bytes. */
export const tooLarge = (limit: number): Problem =>
  new Problem('content-too-large', `The body is larger than ${limit} bytes.`);
