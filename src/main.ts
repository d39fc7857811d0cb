import cluster from 'node:cluster';
import { type Config, doubtsOf, loadConfig } from './config.js';
import { createLogger, flush } from './platform/logging/logger.js';
import { nameSources } from './platform/stack.js';
import { StartError } from './platform/start-error.js';
import { createWorkers, type Running } from './workers.js';

/** Starts this process and stops it in order. If it cannot start, prints a line for each reason and exits 1. */
async function main(): Promise<void> {
  const config = loadConfig();
  await warn(config);
  const isSplit = config.WEB_CONCURRENCY > 1 && cluster.isPrimary;
  // The primary of several workers does not load the app.
  const starting = isSplit ? createWorkers(config) : startApp(config);
  const isStopping = stopOnSignals(starting, config.DRAIN_TIMEOUT_MS + config.DRAIN_DELAY_MS);
  const app = await starting;
  if (!isStopping()) await app.listen();
}

/** Logs likely mistakes before anything else, so that they are seen even if the start fails. */
async function warn(config: Config): Promise<void> {
  const doubts = cluster.isPrimary ? doubtsOf(process.env) : [];
  if (doubts.length === 0) return;
  const logger = createLogger(config);
  for (const doubt of doubts) logger.warn(doubt);
  await flush(logger);
}

/** Loads OpenTelemetry before the app, since it patches modules as they load, and only where there is a collector. */
async function startApp(config: Config): Promise<Running> {
  const hasCollector = config.OTEL_EXPORTER_OTLP_ENDPOINT !== undefined;
  const otlp = hasCollector ? (await import('./platform/otlp/otlp.js')).startOtlp(config) : undefined;
  const { createApp } = await import('./app.js');
  return createApp(config, otlp);
}

/** Sent by a closing terminal, by systemd together with SIGTERM, or by a host that loses power: they begin a stop but never hasten one. */
const GENTLE: NodeJS.Signals[] = ['SIGHUP', 'SIGPWR'];
/** Sent to daemons to make them reload or reopen files. By default the first would open the inspector, and the second end the process. */
const IGNORED: NodeJS.Signals[] = ['SIGUSR1', 'SIGUSR2'];

/**
 * The first signal begins an orderly stop, as soon as there is something to stop. A second signal, or a stop that takes too
 * long, ends the process at once. A worker obeys only the first, since it may get a signal twice: with its primary and from
 * it.
 * @returns a function that tells whether a signal has come
 */
function stopOnSignals(starting: Promise<Running>, timeoutMs: number): () => boolean {
  let isStopping = false;
  let isEnding = false;
  let app: Running | undefined;
  const end = async (code: number) => {
    if (isEnding) return;
    isEnding = true;
    if (app) await flush(app.logger);
    process.exit(code);
  };
  const endNow = (why: string) => {
    app?.logger.warn(why);
    app?.abandon();
    return end(1);
  };
  const stop = async (signal: NodeJS.Signals) => {
    if (isStopping && (cluster.isWorker || GENTLE.includes(signal))) return;
    if (isStopping) return endNow(`${signal} again: ending at once.`);
    isStopping = true;
    setTimeout(() => void endNow('Not done in time: ending with requests in hand.'), timeoutMs).unref();
    app = await starting;
    app.logger.info(`${signal}: stopping.`);
    await app.stop();
    app.logger.info('Stopped.');
    await end(0);
  };
  const onSignal = (signal: NodeJS.Signals) => void stop(signal).catch(fail);
  for (const signal of ['SIGTERM', 'SIGINT', ...GENTLE]) process.on(signal, onSignal);
  for (const signal of IGNORED) process.on(signal, () => {});
  return () => isStopping;
}

function fail(error: Error): void {
  process.stderr.write(`${error instanceof StartError ? error.message : error.stack}\n`);
  process.exit(1);
}

// With --enable-source-maps, as in npm run dev, Node maps stacks itself.
if (!process.sourceMapsEnabled) nameSources(import.meta.filename);
// A diagnostic report may be sent to others, and the environment holds secrets.
process.report.excludeEnv = true;
main().catch(fail);
