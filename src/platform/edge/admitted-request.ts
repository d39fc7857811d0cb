import type { IncomingMessage, ServerResponse } from 'node:http';
import { invalid, unavailable } from '../http/problem.js';
import type { Admission, Leave, Priority } from '../overload/admission.js';

export const tooMuch = () => unavailable('There is too much to do just now.');

/**
 * A request and its place in admission. It is one object, since with closures each create left 5 KiB more to V8's old
 * generation and took a fifth longer.
 */
export class AdmittedRequest {
  private leave!: Leave;
  private isAnswered = false;

  constructor(
    private readonly admission: Admission,
    private readonly priority: Priority,
    private readonly request: IncomingMessage,
    private readonly response: ServerResponse,
  ) {}

  /** Calls `work` when there is room, or else `refuse`; `gone` when the caller hangs up first, or before the pipeline has answered. */
  admit(work: () => void, refuse: () => void, gone: () => void): void {
    const begin = () => {
      this.response.once('close', () => {
        const isCut = !this.response.writableFinished;
        // Node does this only for requests with a body. Fastify would take the end of a stream for its failure.
        if (isCut) this.request.aborted = true;
        if (isCut && !this.isAnswered && this.request.route !== undefined) gone();
        this.leave(isCut);
      });
      this.request.place = this;
      work();
    };
    this.enter(begin, refuse, gone);
  }

  /** Gives the place back once the answer is written: a slow reader says nothing about the server's load. */
  answered(): void {
    this.isAnswered = true;
    this.leave();
  }

  /** Waits without a place, and takes one again afterwards. @throws Problem when there is none, or the caller hung up */
  async outside<T>(awaited: Promise<T>): Promise<T> {
    this.leave(false, false);
    const value = await awaited;
    return new Promise((resolve, reject) => {
      const gone = () => reject(invalid('The request was cut off.'));
      if (this.response.destroyed) return gone();
      const refuse = () => reject(tooMuch());
      this.enter(() => resolve(value), refuse, gone);
    });
  }

  private enter(work: () => void, refuse: () => void, gone: () => void): void {
    const start = (leave: Leave) => {
      this.leave = leave;
      work();
    };
    const waiting = this.admission.enter(this.priority, start, refuse);
    if (!waiting) return;
    this.response.once('close', () => {
      if (waiting.cancel()) gone();
    });
  }
}
