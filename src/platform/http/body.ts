import type { IncomingMessage } from 'node:http';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Config } from '../config.token.js';
import { showInUse } from '../metrics/in-use.js';
import { TransientMap } from '../transient-map.js';
import { parseJson } from './json.js';
import { Problem, unavailable } from './problem.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route takes its body as a stream, as JSON array or NDJSON, and counts the bytes itself. */
    streamed?: boolean;
  }
}

declare module 'node:http' {
  interface IncomingMessage {
    /**
     * The place that it has in hand: left to others while something is awaited from its caller, who may be slow, and when the
     * answer was given. Set by who has admitted the request.
     */
    place?: { outside<T>(awaited: Promise<T>): Promise<T>; answered(): void };
  }
}

const unsupported = () =>
  new Problem('unsupported-media-type', 'The Content-Type is missing or is not one that this route reads.');

/** Reads JSON types only, and hands the body of a streamed route on as it comes. */
export function registerBodyParsers(fastify: FastifyInstance, config: Config): void {
  const bodies = new Bodies(config.BODY_LIMIT_BYTES, config.BODY_MEMORY_BYTES);
  fastify.removeAllContentTypeParsers();
  const read = (type: string, isReadBy: (request: FastifyRequest) => boolean | undefined) =>
    fastify.addContentTypeParser(type, async (request: FastifyRequest, payload: IncomingMessage) => {
      if (!isReadBy(request)) throw unsupported();
      assertUtf8(request);
      return request.routeOptions.config.streamed ? payload : bodies.read(payload);
    });
  read('application/json', () => true);
  read('application/merge-patch+json', ({ method }) => method === 'PATCH');
  read('application/x-ndjson', ({ routeOptions }) => routeOptions.config.streamed);
}

function assertUtf8(request: FastifyRequest): void {
  const charset = /;\s*charset\s*=\s*"?([^";\s]*)/i.exec(request.headers['content-type'] ?? '')?.[1];
  if (charset !== undefined && charset.toLowerCase() !== 'utf-8') throw unsupported();
}

/** A body, as far as it has come. */
interface Body {
  bytes: Buffer;
  length: number;
  /** It gets no longer. */
  most: number;
  refuse(problem: Problem): void;
}

const NOTHING = Buffer.alloc(0);

/** Reads whole bodies, of `limit` bytes each and `most` together: beyond, the one that has taken longest is refused. */
class Bodies {
  /** The longest under way first. */
  private readonly underWay = new TransientMap<Body, true>();
  private size = 0;

  constructor(
    private readonly limit: number,
    private readonly most: number,
  ) {
    showInUse('body_bytes', () => this.size);
  }

  /** @throws Problem content-too-large as soon as the body is known to pass the limit, temporary-reduced-capacity */
  async read(payload: IncomingMessage): Promise<unknown> {
    const announced = Number(payload.headers['content-length']);
    const body: Body = { bytes: NOTHING, length: 0, most: announced || this.limit, refuse: () => {} };
    try {
      const whole = this.receive(payload, body);
      // What came along with the headers is there then. For the rest, nobody else is to wait.
      await undefined;
      const bytes = await (body.length === announced || !payload.place ? whole : payload.place.outside(whole));
      return parseJson(bytes);
    } finally {
      this.underWay.delete(body);
      this.size -= body.bytes.length;
    }
  }

  private receive(payload: IncomingMessage, body: Body): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      body.refuse = (problem) => {
        this.underWay.delete(body);
        payload.removeAllListeners('data').resume();
        reject(problem);
      };
      if (body.most > this.limit) return body.refuse(tooLarge(this.limit));
      this.underWay.set(body, true);
      payload.on('data', (chunk: Buffer) => {
        if (body.length + chunk.length > this.limit) return body.refuse(tooLarge(this.limit));
        this.append(body, chunk);
      });
      payload.once('end', () => {
        this.underWay.delete(body);
        resolve(body.bytes.subarray(0, body.length));
      });
      payload.once('error', reject);
    });
  }

  /** Into one buffer: a list of chunks of one byte would take hundreds of times as much. */
  private append(body: Body, chunk: Buffer): void {
    const { bytes, length } = body;
    body.length += chunk.length;
    if (length === 0) body.bytes = chunk;
    else {
      if (body.length > bytes.length)
        body.bytes = Buffer.allocUnsafeSlow(Math.max(body.length, Math.min(2 * length, body.most)));
      if (body.bytes !== bytes) bytes.copy(body.bytes, 0, 0, length);
      chunk.copy(body.bytes, length);
    }
    this.size += body.bytes.length - bytes.length;
    for (const oldest of this.underWay.keys()) {
      if (this.size <= this.most) return;
      this.size -= oldest.bytes.length;
      oldest.bytes = NOTHING;
      oldest.refuse(unavailable('There are too many bodies on their way just now.'));
    }
  }
}

/** The problem of a body that is longer than `limit` bytes. */
export const tooLarge = (limit: number) => new Problem('content-too-large', `The body is larger than ${limit} bytes.`);
