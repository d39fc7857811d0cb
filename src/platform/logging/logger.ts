import { createRequire } from 'node:module';
import { ecsFormat } from '@elastic/ecs-pino-format';
import { type DestinationStream, type Logger, pino } from 'pino';
import type { Config } from '../../config.js';

/** How late a line may be. */
export const FLUSH_MS = 100;

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

/** The one logger of the process, for Nest and Fastify alike. */
export function createLogger(config: Config): Logger {
  const options = { level: config.LOG_LEVEL, redact };
  if (config.LOG_FORMAT === 'ecs') {
    return pino({ ...ecsFormat({ serviceName: 'floodgate', apmIntegration: false }), ...options }, buffered());
  }
  return pino(options, prettyStream());
}

/** Lines go out together: a write for each would cost more than what it tells of. What is left at the exit is written then. */
function buffered(): DestinationStream {
  const lines = pino.destination({ dest: 1, sync: false, minLength: 16_000, maxLength: 67_108_864 });
  setInterval(() => lines.flush(), FLUSH_MS).unref();
  return lines;
}

/** Readable lines, written at once, so that the last words before an exit are seen. Only in development's dependencies. */
function prettyStream(): DestinationStream {
  try {
    const pretty = createRequire(import.meta.url)('pino-pretty');
    return pretty({
      sync: true,
      translateTime: 'SYS:HH:MM:ss.l',
      // What the line says in words already.
      ignore: 'pid,hostname,reqId,http,url,event,client,user,log\\.logger',
      singleLine: true,
    });
  } catch {
    return pino.destination({ sync: true });
  }
}
