import { fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** Callers of one kind, each of which requests one of the paths. */
export interface Kind {
  name: string;
  /** The share of all calls; the shares of a plan add up to 1. */
  share: number;
  method?: string;
  paths: string[];
  headers?: Record<string, string>;
  body?: string;
}

export interface Plan {
  perSecond: number;
  /** The counted seconds; one second before them is not counted. */
  seconds: number;
  kinds: Kind[];
}

/** The results of the calls of a kind that were due within the counted seconds. Times are in ms since a call was due. */
export interface Seen {
  due: number;
  /** The number answered with 2xx within a second. */
  good: number;
  goodPerSecond: number;
  p50: number;
  p99: number;
  /** The number answered with 503. */
  refused: number;
  refusalP99: number;
  /** Other answers, by status; 0 when none came in time or no connection was available. */
  others: Record<string, number>;
}

export interface Outcome extends Seen {
  of: Record<string, Seen>;
  /** The 99th percentile of the delay of calls: more than a few ms means that the generator is too slow. */
  lagP99: number;
}

const WARM_MS = 1000;
/** An answer within this time is good. */
const GOOD_MS = 1000;
/** Callers hang up after this time. */
const PATIENCE_MS = 2000;
/** A refused caller stays away for this time, as Retry-After asks: the next call is made on another connection. */
const RETRY_MS = 1000;
const MOST_SOCKETS = 5000;

/**
 * Callers who come at a steady average rate (Poisson), whether or not earlier ones were answered. They run in a separate
 * process, so that the test does not slow them down. Nobody retries.
 */
export class Crowd {
  private readonly child;

  constructor(url: string) {
    this.child = fork(import.meta.filename, [url], { execArgv: ['--disable-warning=ExperimentalWarning'] });
    // With the highest priority, if permitted: a call that is made late would look like one that is answered late.
    spawnSync('chrt', ['--all-tasks', '--rr', '--pid', '1', String(this.pid)], { stdio: 'ignore' });
  }

  get pid(): number {
    return this.child.pid as number;
  }

  async call(plan: Plan): Promise<Outcome> {
    this.child.send(plan);
    const [outcome] = await once(this.child, 'message');
    return outcome as Outcome;
  }

  stop(): void {
    this.child.disconnect();
  }
}

interface Call {
  kind: string;
  due: number;
  socket: Connection | undefined;
  status: number;
  took: number;
}

type Connection = Socket & { call: Call | undefined; missing: number; head: string; isLast: boolean };

/** Runs in the separate process. */
class Generator {
  private readonly idle: Connection[] = [];
  private readonly url: URL;
  private sockets = 0;

  constructor(url: URL) {
    this.url = url;
  }

  async run({ perSecond, seconds, kinds }: Plan): Promise<Outcome> {
    const calls: Call[] = [];
    const lags: number[] = [];
    const ways = kinds.map((kind) => ({ ...kind, texts: kind.paths.map((path) => this.text(kind, path)) }));
    const begun = performance.now();
    const ends = begun + WARM_MS + seconds * 1000;
    let next = begun;
    let oldest = 0;
    await new Promise<void>((resolve) => {
      const timer = setInterval(() => {
        const now = performance.now();
        for (; next <= now && next < ends; next += (-Math.log(1 - Math.random()) * 1000) / perSecond) {
          const { name, texts } = drawn(ways);
          const call: Call = { kind: name, due: next, socket: undefined, status: 0, took: PATIENCE_MS };
          calls.push(call);
          lags.push(performance.now() - next);
          this.send(call, texts[Math.floor(Math.random() * texts.length)] as string);
        }
        for (; oldest < calls.length; oldest++) {
          const { socket, due } = calls[oldest] as Call;
          if (!socket) continue;
          if (now - due < PATIENCE_MS) break;
          socket.destroy();
        }
        if (now < ends || oldest < calls.length) return;
        clearInterval(timer);
        resolve();
      }, 1);
    });
    const counted = calls.filter(({ due }) => due >= begun + WARM_MS);
    return {
      ...sum(counted, seconds),
      of: Object.fromEntries(
        kinds.map(({ name }) => [
          name,
          sum(
            counted.filter(({ kind }) => kind === name),
            seconds,
          ),
        ]),
      ),
      lagP99: at(
        lags.sort((a, b) => a - b),
        0.99,
      ),
    };
  }

  private text({ method = 'GET', headers = {}, body }: Kind, path: string): string {
    const lines = Object.entries({ host: this.url.host, ...headers }).map(([name, value]) => `${name}: ${value}`);
    if (body === undefined) return `${method} ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`;
    lines.push(`content-type: application/json`, `content-length: ${Buffer.byteLength(body)}`);
    return `${method} ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${body}`;
  }

  private send(call: Call, text: string): void {
    const socket = this.idle.pop() ?? (this.sockets < MOST_SOCKETS ? this.open() : undefined);
    if (!socket) return;
    socket.call = call;
    call.socket = socket;
    socket.write(text, 'latin1');
  }

  private open(): Connection {
    this.sockets++;
    const socket = connect({ port: Number(this.url.port), host: this.url.hostname, noDelay: true }) as Connection;
    socket.missing = -1;
    socket.head = '';
    socket.on('data', (chunk: Buffer) => this.take(socket, chunk));
    socket.on('error', () => {});
    socket.on('close', () => {
      this.sockets--;
      if (socket.call) socket.call.socket = undefined;
      else if (this.idle.includes(socket)) this.idle.splice(this.idle.indexOf(socket), 1);
    });
    return socket;
  }

  private take(socket: Connection, chunk: Buffer): void {
    const { call } = socket;
    if (!call) return void socket.destroy();
    if (socket.missing < 0) {
      const text = socket.head + chunk.toString('latin1');
      const end = text.indexOf('\r\n\r\n');
      socket.head = end < 0 ? text : '';
      if (end < 0) return;
      call.status = Number(text.slice(9, 12));
      const at = text.indexOf('content-length: ');
      socket.missing =
        (at < 0 || at > end ? 0 : Number.parseInt(text.slice(at + 16, at + 26), 10)) - (text.length - end - 4);
      socket.isLast = text.lastIndexOf('connection: close', end) > 0;
    } else {
      socket.missing -= chunk.length;
    }
    if (socket.missing > 0) return;
    socket.missing = -1;
    socket.call = undefined;
    call.socket = undefined;
    call.took = performance.now() - call.due;
    if (socket.isLast) socket.destroy();
    else if (call.status === 503) setTimeout(() => this.idle.push(socket), RETRY_MS);
    else this.idle.push(socket);
  }
}

/** A random one of them, each in proportion to its share. */
function drawn<T extends { share: number }>(ways: T[]): T {
  let dice = Math.random();
  const found = ways.find(({ share }) => {
    dice -= share;
    return dice < 0;
  });
  return found ?? (ways[0] as T);
}

function at(sorted: number[], part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
}

function sum(calls: Call[], seconds: number): Seen {
  const times = (of: (call: Call) => boolean) =>
    calls
      .filter(of)
      .map(({ took }) => took)
      .sort((a, b) => a - b);
  const isGood = ({ status, took }: Call) => status >= 200 && status < 300 && took < GOOD_MS;
  const [good, refused] = [times(isGood), times(({ status, took }) => status === 503 && took < PATIENCE_MS)];
  const others: Record<string, number> = {};
  for (const call of calls) {
    if (isGood(call) || call.status === 503) continue;
    const status = call.took < PATIENCE_MS ? (call.status < 300 ? 'late' : call.status) : 0;
    others[status] = (others[status] ?? 0) + 1;
  }
  return {
    due: calls.length,
    good: good.length,
    goodPerSecond: good.length / seconds,
    p50: at(good, 0.5),
    p99: at(good, 0.99),
    refused: refused.length,
    refusalP99: at(refused, 0.99),
    others,
  };
}

if (process.send && process.argv[1] === import.meta.filename) {
  const generator = new Generator(new URL(process.argv[2] as string));
  process.on('message', async (plan: Plan) => process.send?.(await generator.run(plan)));
  process.on('disconnect', () => process.exit());
}
