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
   * Becomes unready, and resolves after `delayMs`, when balancers have noticed. After half of it they send new connections
   * elsewhere, but go on using kept-alive ones. So it then calls `sendAway`, which ends each of those with an answer:
   * otherwise some request would be under way when its connection is closed.
   */
  async drain(delayMs: number, sendAway: () => void): Promise<void> {
    this.isServing = false;
    this.isDraining = true;
    await sleep(delayMs / 2);
    sendAway();
    await sleep(delayMs / 2);
  }
}
