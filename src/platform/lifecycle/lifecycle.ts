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

  /** From now on not ready; resolves when balancers have had `delayMs` to see it. */
  async drain(delayMs: number): Promise<void> {
    this.isServing = false;
    this.isDraining = true;
    await sleep(delayMs);
  }
}
