import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';

/** Where this process is between its start and its end. Readiness follows it. */
@Injectable()
export class Lifecycle {
  private state: 'starting' | 'serving' | 'draining' = 'starting';

  get isServing(): boolean {
    return this.state === 'serving';
  }
  get isDraining(): boolean {
    return this.state === 'draining';
  }

  serve(): void {
    if (this.state === 'starting') this.state = 'serving';
  }

  /** From now on not ready; resolves when balancers have had `delayMs` to see it. */
  async drain(delayMs: number): Promise<void> {
    this.state = 'draining';
    await sleep(delayMs);
  }
}
