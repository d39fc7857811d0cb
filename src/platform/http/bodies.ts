import type { IncomingMessage } from 'node:http';
import { showInUse } from '../metrics/in-use.js';
import { parseJson } from './json.js';
import { type Problem, tooLarge, unavailable } from './problem.js';

/** The share of the memory that all senders without a token have together. */
const UNKNOWN_SHARE = 1 / 4;

/** How many bodies one sender may have under way, since each holds a connection. */
const MAX_BODIES = 100;

/** A user, or the address of callers without a token. */
interface Sender {
  isKnown: boolean;
  bytes: number;
  /** Oldest first. */
  readonly underWay: Set<Body>;
}

/** A body that is being received. */
interface Body {
  bytes: Buffer;
  length: number;
  /** The length that it can reach, in bytes. */
  most: number;
  refuse(problem: Problem): void;
}

const NOTHING = Buffer.alloc(0);

function* chunksOf(payload: IncomingMessage): Generator<Buffer> {
  for (let chunk = payload.read(); chunk !== null; chunk = payload.read()) yield chunk;
}

/**
 * Reads bodies that arrive slowly, up to `limit` bytes each and `most` together. Beyond that, the oldest body of the
 * sender with most bytes is evicted, so that nobody loses a body to those who send more.
 */
export class Bodies {
  private readonly senders = new Map<string, Sender>();
  private size = 0;
  private unknownSize = 0;

  constructor(
    private readonly limit: number,
    private readonly most: number,
  ) {
    showInUse('body_bytes', () => this.size);
  }

  /** Parses a body that has arrived whole. @throws Problem content-too-large */
  take(payload: IncomingMessage): unknown {
    let bytes: Buffer = payload.read() ?? NOTHING;
    // Since Node 26, each read gives one chunk.
    if (payload.readableLength > 0) bytes = Buffer.concat([bytes, ...chunksOf(payload)]);
    if (bytes.length > this.limit) throw tooLarge(this.limit);
    return parseJson(bytes);
  }

  /**
   * @param from the sender: a user's id if `isKnown`, else an address
   * @throws Problem content-too-large once the limit is passed, temporary-reduced-capacity when the body is evicted
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
      // The payload's listeners hold this body until the caller stops sending.
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
      if (sender.underWay.size > MAX_BODIES) this.evictOldest(sender);
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

  /** Appends to one buffer: a list of one-byte chunks would take hundreds of times as much memory. */
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
    while (this.unknownSize > this.most * UNKNOWN_SHARE && this.evictOldest(this.largest((one) => !one.isKnown)));
    while (this.size > this.most && this.evictOldest(this.largest(() => true)));
  }

  private count(sender: Sender, bytes: number): void {
    this.size += bytes;
    sender.bytes += bytes;
    if (!sender.isKnown) this.unknownSize += bytes;
  }

  private largest(isMeant: (sender: Sender) => boolean): Sender | undefined {
    let largest: Sender | undefined;
    for (const one of this.senders.values())
      if (one.underWay.size > 0 && isMeant(one) && one.bytes > (largest?.bytes ?? 0)) largest = one;
    return largest;
  }

  /** @returns whether there was a body to evict */
  private evictOldest(sender: Sender | undefined): boolean {
    const [oldest] = sender?.underWay ?? [];
    if (!sender || !oldest) return false;
    this.count(sender, -oldest.bytes.length);
    oldest.bytes = NOTHING;
    oldest.refuse(unavailable('The server is receiving too many bodies just now.'));
    return true;
  }
}
