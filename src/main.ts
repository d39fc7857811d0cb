import { type App, createApp } from './app.js';
import { ConfigError, loadConfig } from './config.js';
import { StartError } from './platform/start-error.js';

/** Starts this process and stops it well. Exits 1, after a line for each reason, when it cannot start. */
async function main(): Promise<void> {
  const config = loadConfig();
  const app = await createApp(config);
  stopOnSignals(app, config.DRAIN_TIMEOUT_MS + config.DRAIN_DELAY_MS);
  await app.listen();
}

/** The first signal begins an orderly stop; a second one ends the process at once, as does a stop that takes too long. */
function stopOnSignals(app: App, timeoutMs: number): void {
  let isStopping = false;
  const endNow = (why: string) => {
    app.logger.warn(why);
    app.abandon();
    process.exit(1);
  };
  const stop = async (signal: NodeJS.Signals) => {
    if (isStopping) return endNow(`${signal} again: ending at once.`);
    isStopping = true;
    app.logger.info(`${signal}: stopping.`);
    setTimeout(() => endNow('Not done in time: ending with requests in hand.'), timeoutMs).unref();
    await app.stop();
    app.logger.info('Stopped.');
    process.exit(0);
  };
  process.on('SIGTERM', stop).on('SIGINT', stop);
}

main().catch((error) => {
  const isExpected = error instanceof ConfigError || error instanceof StartError;
  process.stderr.write(`${isExpected ? error.message : error.stack}\n`);
  process.exit(1);
});
