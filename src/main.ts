import cluster from 'node:cluster';
import { type Config, doubtsOf, loadConfig } from './config.js';
import { createLogger, flush } from './platform/logging/logger.js';
import { nameSources } from './platform/stack.js';
import { StartError } from './platform/start-error.js';
import { createWorkers, type Running } from './workers.js';

/** Starts this process and stops it well. Exits 1, after a line for each reason, when it cannot start. */
async function main(): Promise<void> {
  const config = loadConfig();
  await warn(config);
  const isSplit = config.WEB_CONCURRENCY > 1 && cluster.isPrimary;
  // What only starts workers need not hold the app.
  const starting = isSplit ? createWorkers(config) : startApp(config);
  const isStopping = stopOnSignals(starting, config.DRAIN_TIMEOUT_MS + config.DRAIN_DELAY_MS);
  const app = await starting;
  if (!isStopping()) await app.listen();
}

/** Says once what may be a mistake, also where the start then fails. */
async function warn(config: Config): Promise<void> {
  const doubts = cluster.isPrimary ? doubtsOf(process.env) : [];
  if (doubts.length === 0) return;
  const logger = createLogger(config);
  for (const doubt of doubts) logger.warn(doubt);
  await flush(logger);
}

/** Where traces are wanted, OpenTelemetry is loaded first, for it patches what the app loads; else not at all. */
async function startApp(config: Config): Promise<Running> {
  const isTraced = config.OTEL_EXPORTER_OTLP_ENDPOINT !== undefined;
  const tracing = isTraced ? new (await import('./platform/tracing/tracing.js')).Tracing(config) : undefined;
  const { createApp } = await import('./app.js');
  return createApp(config, tracing);
}

/** From a terminal that closes, from systemd beside SIGTERM, from a container's host that loses its power: they begin a stop, and hasten none. */
const GENTLE: NodeJS.Signals[] = ['SIGHUP', 'SIGPWR'];
/** Sent in the belief that something is read or written anew: by default the first opens the inspector, and the other one ends the process. */
const IGNORED: NodeJS.Signals[] = ['SIGUSR1', 'SIGUSR2'];

/**
 * The first signal begins an orderly stop, once the start has come so far that there is something to stop;
 * a second one ends the process at once, as does a stop that takes too long. A worker, which is sent signals by its
 * primary and with it, obeys the first.
 * @returns whether a signal has come
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

// Node does it itself with --enable-source-maps, as in npm run dev.
if (!process.sourceMapsEnabled) nameSources(import.meta.filename);
// A diagnostic report is for others to read, and the environment holds secrets.
process.report.excludeEnv = true;
main().catch(fail);
