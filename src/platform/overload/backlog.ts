import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Counter } from 'prom-client';
import { unavailable } from '../http/problem.js';
import { showInUse } from '../metrics/in-use.js';
import type { Throttle } from '../throttle/throttle.js';

/** How often slow connections are checked, ms. */
const LOOK_MS = 250;
/** The share of the backlog that one caller may take. */
const CALLER_PART = 1 / 4;
/** When more than this share is taken, readers must keep the pace of PACE_BYTES in PACE_MS. */
const PRESSED_PART = 1 / 2;
/** 8 KiB/s is slower than any network over which answers are read. */
const PACE_BYTES = 16_384;
const PACE_MS = 2000;

/** Without room, an answer of this length or more is refused; for a shorter one the connection is closed. */
const LONG_BYTES = 16_384;
/** A text of this length or more is converted to bytes before it is sent. */
const LONG_TEXT = 4096;
/** What an answer takes beside its body: head, request and their objects. */
const BESIDE_BYTES = 2048;

const givenUp = new Counter({
  name: 'answers_given_up_total',
  help: 'Connections closed because their readers read nothing, or too slowly while the backlog was large.',
});

/** A connection on which answers wait. */
interface Waiting {
  /** The caller of the first answer; all of them count for this caller. */
  caller: string;
  answers: number;
  bytes: number;
  /** The bytes that the kernel had taken when the reader last made progress, and when that was. */
  taken: number;
  since: number;
}

/** Bytes that Node gave to libuv, and how many of them the kernel has not taken yet. */
type Handle = { bytesWritten: number; writeQueueSize: number };
const takenOf = (socket: Socket) => {
  const { _handle: handle } = socket as Socket & { _handle?: Handle | null };
  return handle ? handle.bytesWritten - handle.writeQueueSize : 0;
};

export interface BacklogOptions {
  /** Bytes that may wait for all readers together. */
  most: number;
  /** A reader who takes nothing for so long is dropped, ms. */
  patienceMs: number;
}

/**
 * Answers that were sent but not yet read. They stay in this process' memory, so a caller who asks for much and reads
 * nothing could exhaust it. One caller (user or address) may take a quarter of the room. A reader who takes nothing is
 * dropped after SEND_TIMEOUT_MS, and once half of the room is taken, after two seconds at less than 8 KiB/s, the
 * largest first. An answer that the kernel takes at once never comes here.
 */
export class Backlog {
  /** Bytes that wait now. */
  bytes = 0;
  private readonly callers = new Map<string, number>();
  private readonly connections = new Map<Socket, Waiting>();
  private readonly timer = setInterval(() => this.look(), LOOK_MS).unref();

  /** @param now a clock, in ms */
  constructor(
    private readonly options: BacklogOptions,
    private readonly now: () => number = () => performance.now(),
  ) {
    showInUse('answer_bytes', () => this.bytes);
    showInUse('answer_connections', () => this.connections.size);
  }

  /** Whether a caller may ask for more: not with too many answers unread. */
  isWelcome(caller: string): boolean {
    return (this.callers.get(caller) ?? 0) < this.options.most * CALLER_PART;
  }

  /** Whether an answer of so many bytes may wait on a connection, if it has to. */
  hasRoom(socket: Socket, caller: string, bytes: number): boolean {
    if (this.bytes === 0 || bytes < LONG_BYTES) return true;
    return this.fits(this.connections.get(socket)?.caller ?? caller, bytes);
  }

  /**
   * Must be called with a complete answer that the kernel did not take at once.
   * @param bytes 0 for a stream, whose source waits for the reader
   */
  add(response: ServerResponse, bytes: number, caller: string): void {
    // Node sets it to null when the connection has ended.
    const socket = response.req.socket as Socket | null;
    if (!socket || socket.destroyed) return;
    const waiting = this.waitingOn(socket, caller);
    waiting.answers++;
    this.count(waiting, bytes + BESIDE_BYTES);
    response.once('close', () => {
      if (this.connections.get(socket) !== waiting) return;
      this.count(waiting, -bytes - BESIDE_BYTES);
      if (--waiting.answers === 0) this.connections.delete(socket);
    });
    // A long answer without room was refused before. No room for a short one means that others were left unread.
    if (bytes < LONG_BYTES && !this.fits(waiting.caller, 0)) this.giveUp(socket, waiting);
  }

  /** Stops the timer. */
  close(): void {
    clearInterval(this.timer);
  }

  /** Drops readers who are too slow. A timer calls this every LOOK_MS. */
  look(): void {
    const now = this.now();
    const enough = this.options.most * PRESSED_PART;
    const isPressed = this.bytes > enough;
    const slow: [Socket, Waiting][] = [];
    for (const [socket, waiting] of this.connections) {
      const taken = takenOf(socket);
      const progress = taken - waiting.taken;
      // A stream whose source has no data yet does not wait for its reader.
      if (socket.writableLength === 0 || progress >= (isPressed ? PACE_BYTES : 1))
        Object.assign(waiting, { taken, since: now });
      else if (now - waiting.since >= Math.min(PACE_MS, this.options.patienceMs)) slow.push([socket, waiting]);
    }
    slow.sort(([, a], [, b]) => b.bytes - a.bytes);
    for (const [socket, waiting] of slow)
      if (this.bytes > enough || now - waiting.since >= this.options.patienceMs) this.giveUp(socket, waiting);
  }

  private fits(caller: string, bytes: number): boolean {
    const { most } = this.options;
    return this.bytes + bytes <= most && (this.callers.get(caller) ?? 0) + bytes <= most * CALLER_PART;
  }

  private waitingOn(socket: Socket, caller: string): Waiting {
    let waiting = this.connections.get(socket);
    if (!waiting) {
      waiting = { caller, answers: 0, bytes: 0, taken: takenOf(socket), since: this.now() };
      this.connections.set(socket, waiting);
    }
    return waiting;
  }

  private count(waiting: Waiting, bytes: number): void {
    waiting.bytes += bytes;
    this.bytes += bytes;
    const all = (this.callers.get(waiting.caller) ?? 0) + bytes;
    if (all === 0) this.callers.delete(waiting.caller);
    else this.callers.set(waiting.caller, all);
  }

  private giveUp(socket: Socket, waiting: Waiting): void {
    this.connections.delete(socket);
    this.count(waiting, -waiting.bytes);
    givenUp.inc();
    socket.destroy();
  }
}

const tooMuch = () => unavailable('There is no room for an answer of this length just now.');

/** Counts the pipeline's answers, and refuses a read without room for its answer. Must be the last onSend hook. */
export function registerBacklog(fastify: FastifyInstance, backlog: Backlog, throttle: Throttle): void {
  const keyOf = ({ caller, raw }: FastifyRequest) => caller?.id ?? throttle.addressOf(raw);
  fastify.addHook('onSend', (request, reply, payload, done) => {
    const { raw } = request;
    const answer = isLong(payload) ? Buffer.from(payload) : payload;
    const isSent = raw.method !== 'HEAD' && (Buffer.isBuffer(answer) || typeof answer === 'string');
    const bytes = isSent ? answer.length : 0;
    if (
      backlog.bytes > 0 &&
      raw.method === 'GET' &&
      reply.statusCode < 400 &&
      !backlog.hasRoom(raw.socket, keyOf(request), bytes)
    ) {
      for (const name of OF_THE_ANSWER) reply.removeHeader(name);
      return done(tooMuch());
    }
    done(null, answer);
    const isGiven = reply.raw.writableEnded;
    if (isGiven && reply.raw.writableLength === 0) return;
    if (isGiven) raw.place?.answered();
    backlog.add(reply.raw, bytes, keyOf(request));
  });
}

/** A long text would wait twice: as a string, and as the bytes that Node makes of it. */
const isLong = (payload: unknown): payload is string => typeof payload === 'string' && payload.length >= LONG_TEXT;

const OF_THE_ANSWER = ['etag', 'last-modified', 'link', 'content-length', 'content-encoding'];
