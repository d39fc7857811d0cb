import type { IncomingMessage } from 'node:http';
import { hostname } from 'node:os';
import type { FastifyInstance } from 'fastify';
import type { DestinationStream, Logger } from 'pino';
import type { Config } from '../config.token.js';
import { isProbe } from '../http/probe.js';
import { splitUrl } from '../http/split-url.js';
import { addressReader } from '../throttle/address.js';
import { streamOf, type TraceIds } from './logger.js';

const EVENT = '"},"event":{"duration":';
const HTTP = '"http":{"request":{"id":"';
/** The texts of durations below 10 ms, by tenths of a millisecond. */
const SHORT_MS = Array.from({ length: 100 }, (_, tenths) => `${Math.floor(tenths / 10)}.${tenths % 10} ms`);

/**
 * Writes one line a request, in the fields of the Elastic Common Schema. The query is left out, since it may hold
 * personal data. The line is composed here: the logger would take 10 µs, since it searches every object for secrets. It has
 * few pieces, each of them flat, since V8 takes longer to join one than to copy its bytes.
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
  /** What is the same in all lines of a method and status. */
  private method = '';
  private status = 0;
  private asked = '';
  private said = '';
  private answered = '';

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
    const ms = SHORT_MS[tenths] ?? `${Math.floor(tenths / 10)}.${tenths % 10} ms`;
    if (!this.isEcs) return void this.logger.info(`${method} ${path} ${status} ${ms}`);
    // Of the characters that JSON must escape, a request target can hold these only.
    const safe = /["\\]/.test(path) ? JSON.stringify(path).slice(1, -1) : path;
    if (method !== this.method || status !== this.status) this.remember(method, status);
    this.stream.write(
      `${this.startOf(request)}${id}${this.asked}${safe}${this.clientOf(request)}${Math.round(duration * 1e6)}${
        user === undefined ? this.said : `},"user":{"id":"${user}"${this.said}`
      }${safe}${this.answered}${ms}"}\n`,
    );
  }

  private remember(method: string, status: number): void {
    Object.assign(this, { method, status });
    this.asked = flat(`","method":"${method}"},"response":{"status_code":${status}}},"url":{"path":"`);
    this.said = flat(`},"message":"${method} `);
    this.answered = flat(` ${status} `);
  }

  /** The line up to the request's id, reused while the millisecond is the same. */
  private startOf(request: IncomingMessage): string {
    const at = Date.now();
    if (at !== this.at) {
      this.at = at;
      const start = `{"log.level":"info","@timestamp":"${new Date(at).toISOString()}",${this.process},`;
      this.start = flat(this.idsOf ? start : start + HTTP);
    }
    return this.idsOf ? this.start + fields(this.idsOf(request)) + HTTP : this.start;
  }

  /** The line from the client's address up to the duration, reused while the address is the same. */
  private clientOf(request: IncomingMessage): string {
    const address = this.addressOf(request);
    if (address !== this.address) {
      this.address = address;
      // Without the zone of a link-local address, which means nothing on other hosts.
      this.client = flat(address ? `"},"client":{"ip":"${address.replace(/%.*/, '')}${EVENT}` : EVENT);
    }
    return this.client;
  }
}

/** As one piece, where V8 would keep a tree of all that it was joined from. */
const flat = (text: string) => Buffer.from(text).toString();

const fields = ({ 'trace.id': trace, 'span.id': span }: TraceIds) =>
  trace === undefined ? '' : `"trace.id":"${trace}","span.id":"${span}",`;

export function registerAccessLog(fastify: FastifyInstance, log: AccessLog): void {
  fastify.addHook('onResponse', (request, reply, done) => {
    const { raw, id, caller } = request;
    log.write(raw, reply.statusCode, id, reply.elapsedTime, caller?.id);
    done();
  });
}
