import { hostname } from 'node:os';
import type { FastifyInstance } from 'fastify';
import { type Logger, pino } from 'pino';
import type { Config } from '../../config.js';

/** A request that was answered. */
export interface Access {
  method: string;
  /** With its query. */
  url: string;
  status: number;
  requestId: string;
  address: string;
  /** Milliseconds. */
  duration: number;
  userId?: string | undefined;
}

/** Of an orchestrator or a monitoring system. */
export const isProbe = (url: string) => url.startsWith('/health/') || url.startsWith('/metrics');

/**
 * One line a request, in the fields of the Elastic Common Schema. The query is left out: it may hold personal data. The
 * line is put together here: the logger, which looks for secrets in whatever it is given, takes 10 µs for it.
 */
export class AccessLog {
  private readonly lines: { write(line: string): void };
  private readonly isEcs: boolean;
  private readonly process =
    `"process.pid":${process.pid},"host.hostname":${JSON.stringify(hostname())},"ecs.version":"8.10.0","service.name":"floodgate","event.dataset":"floodgate"`;
  private at = 0;
  private time = '';

  constructor(
    config: Pick<Config, 'LOG_FORMAT'>,
    private readonly logger: Logger,
  ) {
    this.lines = (logger as unknown as Record<symbol, { write(line: string): void }>)[pino.symbols.streamSym] as never;
    this.isEcs = config.LOG_FORMAT === 'ecs';
  }

  write(access: Access): void {
    const { method, url, status, requestId, address, duration, userId } = access;
    // Probes and scrapes come every few seconds and say nothing as long as they are answered.
    if (!this.logger.isLevelEnabled(status < 400 && isProbe(url) ? 'debug' : 'info')) return;
    const query = url.indexOf('?');
    const path = query < 0 ? url : url.slice(0, query);
    const message = `${method} ${path} ${status} ${duration.toFixed(1)} ms`;
    if (!this.isEcs) return void this.logger.info(message);
    const quoted = JSON.stringify(path);
    const user = userId === undefined ? '' : `,"user":{"id":"${userId}"}`;
    this.lines.write(
      `{"log.level":"info","@timestamp":"${this.now()}",${this.process},"http":{"request":{"id":"${requestId}","method":"${method}"},` +
        `"response":{"status_code":${status}}},"url":{"path":${quoted}},"client":{"ip":"${address}"},` +
        `"event":{"duration":${Math.round(duration * 1e6)}}${user},"message":"${method} ${quoted.slice(1, -1)} ${status} ${duration.toFixed(1)} ms"}\n`,
    );
  }

  /** Many requests share a millisecond. */
  private now(): string {
    const at = Date.now();
    if (at !== this.at) {
      this.at = at;
      this.time = new Date(at).toISOString();
    }
    return this.time;
  }
}

export function registerAccessLog(fastify: FastifyInstance, log: AccessLog): void {
  fastify.addHook('onResponse', (request, reply, done) => {
    log.write({
      method: request.method,
      url: request.url,
      status: reply.statusCode,
      requestId: request.id,
      address: request.ip,
      duration: reply.elapsedTime,
      userId: request.caller?.id,
    });
    done();
  });
}
