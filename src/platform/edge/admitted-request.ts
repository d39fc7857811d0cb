import type { IncomingMessage, ServerResponse } from 'node:http';
import { invalid, unavailable } from '../http/problem.js';
import type { Admission, Leave, Priority } from '../overload/admission.js';

export const tooMuch = () => unavailable('There is too much to do just now.');

/**
 * A request, as far as admission is concerned. One object for all of it: with a closure of its own in its request, each
 * create left 5 KiB more to the old generation, and took a fifth longer.
 */
export class AdmittedRequest {
  private leave!: Leave;

  constructor(
    private readonly admission: Admission,
    private readonly priority: Priority,
    private readonly request: IncomingMessage,
    private readonly response: ServerResponse,
  ) {}

  /** Does the work when there is room for it, or calls `refuse`; neither when its caller goes before that. */
  admit(work: () => void, refuse: () => void): void {
    const begin = () => {
      this.response.once('close', () => this.leave(!this.response.writableFinished));
      this.request.place = this;
      work();
    };
    this.enter(begin, refuse, () => {});
  }

  /** The answer was given: how long its reader takes says nothing of the server, and keeps nobody else out. */
  answered(): void {
    this.leave();
  }

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
      waiting.cancel();
      gone();
    });
  }
}
