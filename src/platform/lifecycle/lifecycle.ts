import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';

/** Whether this process starts, serves or drains; readiness follows it. */
@Injectable()
export class Lifecycle {
  isServing = false;
  isDraining = false;

  serve(): void {
    this.isServing = !this.isDraining;
  }

  /**
   * Becomes unready, and resolves after `delayMs`. By half of it, balancers that ask for readiness have noticed, and send
   * new connections elsewhere. Then it calls `sendAway`, which refuses new connections, so that the others notice too, and
   * ends each kept-alive one with an answer: otherwise some request would be on its way when its connection is closed.
   */
  async drain(delayMs: number, sendAway: () => void): Promise<void> {
    this.isServing = false;
    this.isDraining = true;
    await sleep(delayMs / 2);
    sendAway();
    await sleep(delayMs / 2);
  }
}
