import { type BeforeApplicationShutdown, Injectable, Logger } from '@nestjs/common';

/** Work that goes on beside the requests: again and again, never twice at once, and not beyond the end of the app. */
@Injectable()
export class Background implements BeforeApplicationShutdown {
  private readonly logger = new Logger(Background.name);
  private readonly timers = new Set<NodeJS.Timeout>();
  private readonly running = new Set<Promise<void>>();

  /**
   * @param name says in the log what failed
   * @returns what ends it
   */
  every(intervalMs: number, name: string, work: () => Promise<void>): () => void {
    let last: Promise<void> | undefined;
    const timer = setInterval(() => {
      if (last) return;
      last = work()
        .catch((error: Error) => this.logger.error(`The ${name} failed and will be tried again: ${error.message}`))
        .finally(() => {
          this.running.delete(last as Promise<void>);
          last = undefined;
        });
      this.running.add(last);
    }, intervalMs);
    this.timers.add(timer.unref());
    return () => clearInterval(timer);
  }

  async beforeApplicationShutdown(): Promise<void> {
    for (const timer of this.timers) clearInterval(timer);
    await Promise.all(this.running);
  }
}
