import { createRequire } from 'node:module';
import { ecsFormat } from '@elastic/ecs-pino-format';
import { type DestinationStream, type Logger, pino } from 'pino';
import type { Config } from '../config.token.js';

/** The trace and span that a line belongs to; empty without tracing. */
export type TraceIds = { 'trace.id'?: string; 'span.id'?: string };

/** The longest time that a line waits in the buffer. */
const FLUSH_MS = 100;
/** The size of the buffer in bytes. */
const FULL = 65_536;
/** How long an exit waits until the last lines are written. */
const LAST_MS = 2000;
/** Of a UTF-16 code unit in UTF-8. */
const BYTES_AT_MOST = 3;

/** The values of these names are redacted in logged objects, up to three levels deep. */
const SECRETS = [
  'authorization',
  'cookie',
  'set-cookie',
  'password',
  'currentPassword',
  'accessToken',
  'refreshToken',
  'token',
];
const redact = {
  paths: ['', '*', '*.*'].flatMap((where) => SECRETS.map((name) => `${where}["${name}"]`)),
  censor: '[redacted]',
};

/**
 * Makes the process' one logger, for Nest and Fastify alike.
 * @param idsOf finds the active trace
 * @param send gets every line as well, those of the access log too
 */
export function createLogger(config: Config, idsOf?: () => TraceIds, send?: (line: string) => void): Logger {
  const options = { level: config.LOG_LEVEL, redact, ...(idsOf ? { mixin: () => idsOf() } : {}) };
  const isEcs = config.LOG_FORMAT === 'ecs';
  const stream = isEcs ? buffered() : prettyStream();
  const write = stream.write.bind(stream);
  if (send)
    stream.write = (line) => {
      send(line);
      write(line);
    };
  if (!isEcs) return pino({ ...options, serializers: { err: briefly } }, stream);
  return pino({ ...ecsFormat({ serviceName: config.OTEL_SERVICE_NAME, apmIntegration: false }), ...options }, stream);
}

/** Leaves out the statement's values and the refused row, which errors of PostgreSQL and TypeORM also hold. */
const briefly = (error: unknown) =>
  error instanceof Error ? { type: error.name, message: error.message, stack: error.stack } : error;

/** The stream that a logger writes to. */
export const streamOf = (logger: Logger) =>
  (logger as unknown as Record<symbol, DestinationStream>)[pino.symbols.streamSym] as DestinationStream;

/**
 * Resolves when all lines are written, since an exit during a write would tear lines. A slow reader, as some container
 * engines are, must not delay the exit: lines that it does not take within LAST_MS are lost.
 */
export async function flush(logger: Logger): Promise<void> {
  const stream = streamOf(logger) as { destroy?(): void };
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => {
      // Or the rest would be written synchronously at the exit.
      stream.destroy?.();
      resolve();
    }, LAST_MS);
    logger.flush(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/**
 * Writes many lines at once: a write for each would cost more than the request that it logs. Lines wait as bytes, since
 * waiting strings reach V8's old generation: 25 MiB of them at 15,000 requests a second. Only one write runs per turn
 * of the event loop, so it takes everything that has gathered: with smaller writes a busy process would never catch up.
 * The rest is written at the exit.
 */
function buffered(): DestinationStream {
  const most = { maxWrite: 1_048_576, maxLength: 16_777_216 };
  const output = pino.destination({ dest: 1, sync: false, minLength: 16_000, contentMode: 'buffer', ...most });
  const write = output.write.bind(output) as unknown as (bytes: Uint8Array) => boolean;
  const [flush, flushSync] = [output.flush.bind(output), output.flushSync.bind(output)];
  const lines = Buffer.allocUnsafe(FULL);
  let length = 0;
  const handOn = () => {
    if (length > 0) write(Buffer.from(lines.subarray(0, length)));
    length = 0;
  };
  output.write = (line) => {
    const bytes = line.length * BYTES_AT_MOST;
    if (bytes > FULL - length) handOn();
    if (bytes > FULL) return write(Buffer.from(line));
    length += lines.write(line, length);
    return true;
  };
  output.flush = (done) => {
    handOn();
    flush(done);
  };
  output.flushSync = () => {
    handOn();
    flushSync();
  };
  const timer = setInterval(() => output.flush(), FLUSH_MS).unref();
  const destroy = output.destroy.bind(output);
  output.destroy = () => {
    clearInterval(timer);
    destroy();
  };
  return output;
}

/** Readable lines, written synchronously, so that none is lost at an exit. pino-pretty is a development dependency. */
function prettyStream(): DestinationStream {
  try {
    const pretty = createRequire(import.meta.url)('pino-pretty');
    return pretty({
      sync: true,
      translateTime: 'SYS:HH:MM:ss.l',
      // Fields that the message already contains.
      ignore: 'pid,hostname,reqId,http,url,event,client,user,log\\.logger,trace\\.id,span\\.id',
      messageFormat: '{msg}{if http.request.id} (request {http.request.id}){end}',
      singleLine: true,
    });
  } catch {
    return pino.destination({ sync: true });
  }
}
