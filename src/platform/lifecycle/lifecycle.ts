import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';

/** Where this process is between its start and its end. Readiness follows it. */
@Injectable()
export class Lifecycle {
  isServing = false;
  isDraining = false;

  serve(): void {
    this.isServing = !this.isDraining;
  }

  /**
   * From now on not ready; resolves when balancers have had `delayMs` to see it. After half of it new connections go
   * elsewhere, while those that are kept would still come here: `sendAway` is called, to end each with an answer. Who is
   * not told would have a request under way, sooner or later, as the connection is closed.
   */
  async drain(delayMs: number, sendAway: () => void): Promise<void> {
    this.isServing = false;
    this.isDraining = true;
    await sleep(delayMs / 2);
    sendAway();
    await sleep(delayMs / 2);
  }
}
