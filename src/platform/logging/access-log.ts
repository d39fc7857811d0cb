import type { IncomingMessage } from 'node:http';
import { hostname } from 'node:os';
import type { FastifyInstance } from 'fastify';
import type { DestinationStream, Logger } from 'pino';
import type { Config } from '../config.token.js';
import { isProbe } from '../http/probe.js';
import { splitUrl } from '../http/split-url.js';
import { addressReader } from '../throttle/address.js';
import { streamOf, type TraceIds } from './logger.js';

const EVENT = '"event":{"duration":';

/**
 * Writes one line a request, in the fields of the Elastic Common Schema. The query is left out, since it may hold
 * personal data. The line is composed here: the logger would take 10 µs, since it searches every object for secrets.
 */
export class AccessLog {
  private readonly stream: DestinationStream;
  private readonly isOn: boolean;
  private readonly isEcs: boolean;
  private readonly process: string;
  private readonly addressOf: (request: IncomingMessage) => string;
  private at = 0;
  private start = '';
  private address = '';
  private client = EVENT;

  constructor(
    config: Pick<Config, 'LOG_FORMAT' | 'OTEL_SERVICE_NAME' | 'TRUST_PROXY'>,
    private readonly logger: Logger,
    private readonly idsOf?: (request: IncomingMessage) => TraceIds,
  ) {
    this.stream = streamOf(logger);
    this.isOn = logger.isLevelEnabled('info');
    this.isEcs = config.LOG_FORMAT === 'ecs';
    const service = JSON.stringify(config.OTEL_SERVICE_NAME);
    this.process = `"process.pid":${process.pid},"host.hostname":${JSON.stringify(hostname())},"ecs.version":"8.10.0","service.name":${service},"event.dataset":${service}`;
    this.addressOf = addressReader(config.TRUST_PROXY);
  }

  /** @param duration in ms */
  write(request: IncomingMessage, status: number, id: string, duration: number, user?: string): void {
    const { method = '', url = '' } = request;
    // Successful probes and scrapes come every few seconds, and are logged at level debug only.
    if (!this.isOn || (status < 400 && isProbe(request) && !this.logger.isLevelEnabled('debug'))) return;
    const [path] = splitUrl(url);
    // Formatting a number with a fraction takes ten times as long.
    const tenths = Math.round(duration * 10);
    const ms = `${Math.floor(tenths / 10)}.${tenths % 10} ms`;
    if (!this.isEcs) return void this.logger.info(`${method} ${path} ${status} ${ms}`);
    const trace = this.idsOf ? fields(this.idsOf(request)) : '';
    // Of the characters that JSON must escape, a request target can hold these only.
    const safe = /["\\]/.test(path) ? JSON.stringify(path).slice(1, -1) : path;
    this.stream.write(
      `${this.startOf(trace)}${id}","method":"${method}"},"response":{"status_code":${status}}},"url":{"path":"${safe}"},` +
        `${this.clientOf(request)}${Math.round(duration * 1e6)}},${user === undefined ? '' : `"user":{"id":"${user}"},`}` +
        `"message":"${method} ${safe} ${status} ${ms}"}\n`,
    );
  }

  /** The line up to the request's id, reused while the millisecond is the same. */
  private startOf(trace: string): string {
    const at = Date.now();
    if (at !== this.at) {
      this.at = at;
      this.start = `{"log.level":"info","@timestamp":"${new Date(at).toISOString()}",${this.process},`;
    }
    return `${this.start}${trace}"http":{"request":{"id":"`;
  }

  /** The line from the client's address up to the duration, reused while the address is the same. */
  private clientOf(request: IncomingMessage): string {
    const address = this.addressOf(request);
    if (address !== this.address) {
      this.address = address;
      // Without the zone of a link-local address, which means nothing on other hosts.
      this.client = address ? `"client":{"ip":"${address.replace(/%.*/, '')}"},${EVENT}` : EVENT;
    }
    return this.client;
  }
}

const fields = ({ 'trace.id': trace, 'span.id': span }: TraceIds) =>
  trace === undefined ? '' : `"trace.id":"${trace}","span.id":"${span}",`;

export function registerAccessLog(fastify: FastifyInstance, log: AccessLog): void {
  fastify.addHook('onResponse', (request, reply, done) => {
    const { raw, id, caller } = request;
    log.write(raw, reply.statusCode, id, reply.elapsedTime, caller?.id);
    done();
  });
}
