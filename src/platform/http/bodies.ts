import type { IncomingMessage } from 'node:http';
import { showInUse } from '../metrics/in-use.js';
import { parseJson } from './json.js';
import { type Problem, tooLarge, unavailable } from './problem.js';

/** Of all that may be held, the part that senders without a token have together. */
const STRANGERS_PART = 1 / 4;

/** Bodies that one sender may have on their way: each holds a connection. */
const MAX_BODIES = 100;

/** Who sends bodies: a user, or an address without a token. */
interface Sender {
  isKnown: boolean;
  bytes: number;
  /** The longest under way first. */
  readonly underWay: Set<Body>;
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

/**
 * Reads whole bodies that take their time, of `limit` bytes each and `most` together. Beyond, of the sender who holds most
 * the one is refused that has taken longest, so that nobody is put out by others who ask for more; and strangers have a part.
 */
export class Bodies {
  private readonly senders = new Map<string, Sender>();
  private size = 0;
  private strangers = 0;

  constructor(
    private readonly limit: number,
    private readonly most: number,
  ) {
    showInUse('body_bytes', () => this.size);
  }

  /** A body that has come whole, and waits to be read. @throws Problem content-too-large */
  take(payload: IncomingMessage): unknown {
    const bytes: Buffer = payload.read() ?? NOTHING;
    if (bytes.length > this.limit) throw tooLarge(this.limit);
    return parseJson(bytes);
  }

  /**
   * @param from who sends it; known by a token, or by an address alone
   * @throws Problem content-too-large as soon as it is longer than the limit, temporary-reduced-capacity when it is put out
   */
  async read(payload: IncomingMessage, from: string, isKnown: boolean): Promise<unknown> {
    const sender = this.senderOf(from, isKnown);
    const announced = Number(payload.headers['content-length']);
    const body: Body = { bytes: NOTHING, length: 0, most: announced || this.limit, refuse: () => {} };
    try {
      return parseJson(await this.receive(payload, body, sender));
    } finally {
      sender.underWay.delete(body);
      this.count(sender, -body.bytes.length);
      // Its listeners may stay for as long as its caller sends on.
      body.bytes = NOTHING;
      const isDone = sender.bytes === 0 && sender.underWay.size === 0;
      if (isDone && this.senders.get(from) === sender) this.senders.delete(from);
    }
  }

  private senderOf(from: string, isKnown: boolean): Sender {
    let sender = this.senders.get(from);
    if (!sender) {
      sender = { isKnown, bytes: 0, underWay: new Set() };
      this.senders.set(from, sender);
    }
    return sender;
  }

  private receive(payload: IncomingMessage, body: Body, sender: Sender): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      body.refuse = (problem) => {
        sender.underWay.delete(body);
        payload.removeAllListeners('data').resume();
        reject(problem);
      };
      sender.underWay.add(body);
      if (sender.underWay.size > MAX_BODIES) this.putOut(sender);
      payload.on('data', (chunk: Buffer) => {
        if (body.length + chunk.length > this.limit) return body.refuse(tooLarge(this.limit));
        this.append(body, chunk, sender);
      });
      payload.once('end', () => {
        sender.underWay.delete(body);
        resolve(body.bytes.subarray(0, body.length));
      });
      payload.once('error', reject);
    });
  }

  /** Into one buffer: a list of chunks of one byte would take hundreds of times as much. */
  private append(body: Body, chunk: Buffer, sender: Sender): void {
    const { bytes, length } = body;
    body.length += chunk.length;
    if (length === 0) body.bytes = chunk;
    else {
      if (body.length > bytes.length)
        body.bytes = Buffer.allocUnsafeSlow(Math.max(body.length, Math.min(2 * length, body.most)));
      if (body.bytes !== bytes) bytes.copy(body.bytes, 0, 0, length);
      chunk.copy(body.bytes, length);
    }
    this.count(sender, body.bytes.length - bytes.length);
    while (this.strangers > this.most * STRANGERS_PART && this.putOut(this.largest((one) => !one.isKnown)));
    while (this.size > this.most && this.putOut(this.largest(() => true)));
  }

  private count(sender: Sender, bytes: number): void {
    this.size += bytes;
    sender.bytes += bytes;
    if (!sender.isKnown) this.strangers += bytes;
  }

  private largest(isMeant: (sender: Sender) => boolean): Sender | undefined {
    let largest: Sender | undefined;
    for (const one of this.senders.values())
      if (one.underWay.size > 0 && isMeant(one) && one.bytes > (largest?.bytes ?? 0)) largest = one;
    return largest;
  }

  /** @returns whether there was one */
  private putOut(sender: Sender | undefined): boolean {
    const [oldest] = sender?.underWay ?? [];
    if (!sender || !oldest) return false;
    this.count(sender, -oldest.bytes.length);
    oldest.bytes = NOTHING;
    oldest.refuse(unavailable('There are too many bodies on their way just now.'));
    return true;
  }
}
