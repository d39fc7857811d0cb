import { createRequire } from 'node:module';
import { ecsFormat } from '@elastic/ecs-pino-format';
import { type DestinationStream, type Logger, pino } from 'pino';
import type { Config } from '../config.token.js';

/** Which trace a line belongs to, and which span of it; neither where nothing is traced. */
export type TraceIds = { 'trace.id'?: string; 'span.id'?: string };

/** How late a line may be. */
const FLUSH_MS = 100;
/** So much is handed on without waiting for more, in bytes. */
const FULL = 65_536;
/** How long who reads the log may take, at the end, for what still waits. */
const LAST_MS = 2000;
/** Of a character in UTF-8. */
const BYTES_AT_MOST = 3;

/** Wherever these names turn up in a logged object, up to three levels deep, their values are left out. */
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
 * The one logger of the process, for Nest and Fastify alike.
 * @param idsOf the trace of what is at work
 */
export function createLogger(config: Config, idsOf?: () => TraceIds): Logger {
  const options = { level: config.LOG_LEVEL, redact, ...(idsOf ? { mixin: () => idsOf() } : {}) };
  if (config.LOG_FORMAT === 'ecs') {
    return pino(
      { ...ecsFormat({ serviceName: config.OTEL_SERVICE_NAME, apmIntegration: false }), ...options },
      buffered(),
    );
  }
  return pino({ ...options, serializers: { err: briefly } }, prettyStream());
}

/** An error as ECS has it. PostgreSQL's and TypeORM's carry the values of the statement, and the row that was refused. */
const briefly = (error: unknown) =>
  error instanceof Error ? { type: error.name, message: error.message, stack: error.stack } : error;

/** Where a logger's lines go. */
export const streamOf = (logger: Logger) =>
  (logger as unknown as Record<symbol, DestinationStream>)[pino.symbols.streamSym] as DestinationStream;

/**
 * Resolves when nothing waits any more: an exit in the middle of a write would tear lines. Who reads slowly, as some
 * container engines do, may not keep a process from its end: what has not been taken in time is lost.
 */
export async function flush(logger: Logger): Promise<void> {
  const stream = streamOf(logger) as { destroy?(): void };
  await new Promise<void>((resolve) => {
    setTimeout(() => {
      // Else all of it would be written as the process exits.
      stream.destroy?.();
      resolve();
    }, LAST_MS);
    logger.flush(() => resolve());
  });
}

/**
 * Lines go out together: a write for each would cost more than what it tells of. They wait as bytes, since strings that
 * wait grow old in the heap: 25 MiB of them at 15,000 requests a second. One write a turn of the event loop is under
 * way, which therefore takes along all that has gathered meanwhile: in smaller pieces a busy process would never catch
 * up. What is left at the exit is written then.
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
  setInterval(() => output.flush(), FLUSH_MS).unref();
  return output;
}

/** Readable lines, written at once, so that the last words before an exit are seen. Only in development's dependencies. */
function prettyStream(): DestinationStream {
  try {
    const pretty = createRequire(import.meta.url)('pino-pretty');
    return pretty({
      sync: true,
      translateTime: 'SYS:HH:MM:ss.l',
      // What the line says in words already.
      ignore: 'pid,hostname,reqId,http,url,event,client,user,log\\.logger,trace\\.id,span\\.id',
      singleLine: true,
    });
  } catch {
    return pino.destination({ sync: true });
  }
}
