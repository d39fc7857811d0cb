import { type BeforeApplicationShutdown, Injectable, Logger } from '@nestjs/common';

/** Runs periodic work beside the requests: never twice at once, and not beyond the end of the app. */
@Injectable()
export class Background implements BeforeApplicationShutdown {
  private readonly logger = new Logger(Background.name);
  private readonly ending = new AbortController();
  private readonly running = new Map<NodeJS.Timeout, Promise<void> | undefined>();

  /**
   * @param name what the log calls it when it fails
   * @param work should end soon once its signal is aborted, since the app's stop waits for it
   * @param isPassing whether an error is no fault of the work, and is said elsewhere: the log then only warns
   * @returns a function that ends it
   */
  every(
    intervalMs: number,
    name: string,
    work: (ending: AbortSignal) => Promise<void>,
    isPassing: (error: unknown) => unknown = () => false,
  ): () => void {
    const run = async () => {
      await work(this.ending.signal).catch((error: Error) => {
        const level = isPassing(error) ? 'warn' : 'error';
        this.logger[level](`The ${name} failed and will be tried again: ${error.message}`);
      });
      this.running.set(timer, undefined);
    };
    const timer = setInterval(() => {
      if (!this.running.get(timer)) this.running.set(timer, run());
    }, intervalMs).unref();
    this.running.set(timer, undefined);
    return () => clearInterval(timer);
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.ending.abort();
    for (const timer of this.running.keys()) clearInterval(timer);
    await Promise.all(this.running.values());
  }
}
