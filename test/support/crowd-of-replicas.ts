import { connect, type Socket } from 'node:net';
import { CHANGED, PRESENT, SIGN } from '../../src/platform/cache/membership.js';
import { CHANNEL, TELL } from '../../src/platform/cache/outbox.js';

const BEAT_MS = 250;
/** As often a part of them is due. */
const TICK_MS = 5;

const encode = (...words: string[]) =>
  `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`;

/** A connection for commands and one for messages. */
interface Pair {
  commands: Socket;
  messages: Socket;
}

/** Raw connections that send to Redis what so many replicas send, evenly over time, and read what it answers. */
export class CrowdOfReplicas {
  private readonly timer: NodeJS.Timeout;
  private due = 0;
  private begun = performance.now();

  private constructor(
    readonly pairs: Pair[],
    private readonly beat: (index: number) => string,
  ) {
    this.timer = setInterval(() => this.send(), TICK_MS);
  }

  /** Each asks Redis, as the app does. */
  static asking(redisUrl: string, count: number): Promise<CrowdOfReplicas> {
    const beat = (index: number) =>
      encode('EVAL', SIGN, '2', PRESENT, CHANGED, `replica-${index}-of-the-whole-crowd`, String(Date.now()), '0', '0');
    return CrowdOfReplicas.open(redisUrl, count, CHANNEL, beat);
  }

  /** Each tells all others. */
  static telling(redisUrl: string, count: number): Promise<CrowdOfReplicas> {
    const text = JSON.stringify({ from: crypto.randomUUID(), n: 0, at: performance.now() });
    return CrowdOfReplicas.open(redisUrl, count, 'told', () => encode('PUBLISH', 'told', text));
  }

  private static async open(redisUrl: string, count: number, channel: string, beat: (index: number) => string) {
    const { hostname: host, port } = new URL(redisUrl);
    const open = () =>
      new Promise<Socket>((resolve, reject) => {
        const socket = connect({ host, port: Number(port) }, () => resolve(socket.resume())).once('error', reject);
      });
    const pairs: Pair[] = [];
    for (let i = 0; i < count; i++) {
      const pair = { commands: await open(), messages: await open() };
      pair.messages.write(encode('SUBSCRIBE', channel));
      pairs.push(pair);
    }
    return new CrowdOfReplicas(pairs, beat);
  }

  /** One of them tells all others of a change. */
  tell(by: number, name: string): void {
    const text = JSON.stringify({ from: `replica-${by}-of-the-whole-crowd`, names: [name] }).slice(1);
    this.pairs[by % this.pairs.length]?.commands.write(encode('EVAL', TELL, '1', CHANGED, '0', CHANNEL, text));
  }

  private send(): void {
    const now = performance.now();
    // Where this process stood still, no replica sends twice.
    this.begun = Math.max(this.begun, now - BEAT_MS - (this.due / this.pairs.length) * BEAT_MS);
    const until = Math.floor(((now - this.begun) / BEAT_MS) * this.pairs.length);
    for (; this.due < until; this.due++) {
      const index = this.due % this.pairs.length;
      this.pairs[index]?.commands.write(this.beat(index));
    }
  }

  close(): void {
    clearInterval(this.timer);
    for (const { commands, messages } of this.pairs) for (const socket of [commands, messages]) socket.destroy();
  }
}
