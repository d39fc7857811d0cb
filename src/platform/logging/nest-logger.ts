import type { LoggerService } from '@nestjs/common';
import type { Level, Logger } from 'pino';

/** Nest's own lines at start are logged at level debug. */
const CHATTY = new Set(['InstanceLoader', 'RoutesResolver', 'RouterExplorer', 'NestFactory', 'NestApplication']);

/** Hands Nest's messages to the process' logger. Nest's last parameter is the context. */
export class NestLogger implements LoggerService {
  readonly fatal = this.writer('fatal');
  readonly error = this.writer('error');
  readonly warn = this.writer('warn');
  readonly log = this.writer('info');
  readonly debug = this.writer('debug');
  readonly verbose = this.writer('trace');

  constructor(private readonly logger: Logger) {}

  private writer(usual: Level) {
    return (message: unknown, ...rest: unknown[]): void => {
      // The bundler puts an underscore before the name of a class that refers to itself.
      const context = rest.at(-1) === undefined ? undefined : String(rest.at(-1)).replace(/^_/, '');
      const level = usual === 'info' && CHATTY.has(context ?? '') ? 'debug' : usual;
      if (message instanceof Error) this.logger[level]({ 'log.logger': context, err: message }, message.message);
      else this.logger[level]({ 'log.logger': context }, String(message));
    };
  }
}
