import cluster, { type Worker } from 'node:cluster';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Config } from './config.js';
import { startEmbedded } from './embedded.js';
import { assertFree } from './platform/http/acceptors.js';
import { createLogger } from './platform/logging/logger.js';
import { relayMetrics } from './platform/metrics/all-workers.js';
import { StartError } from './platform/start-error.js';

/** A running app, in this process or in workers that this process started. */
export interface Running {
  logger: Logger;
  /** @returns the address it listens on, as a URL */
  listen(): Promise<string>;
  /** Answers readiness with 503, serves for another DRAIN_DELAY_MS, finishes its requests, and closes the pools. */
  stop(): Promise<void>;
  /** Ends at once, and takes along only what would outlive this process. */
  abandon(): void;
}

/** How many new workers in a row may end before they serve, and the pause after the first in ms, which doubles each time. */
const ATTEMPTS = 6;
const PAUSE_MS = 100;

/**
 * WEB_CONCURRENCY processes of the app behind one port, and no app in this one. The first starts alone, so that
 * migrations and the first admin are made once. One that ends is replaced.
 * @throws StartError in one sentence, when the port is taken, or PostgreSQL was to be started here and cannot
 */
export async function createWorkers(config: Config): Promise<Running> {
  await assertFree(config);
  const logger = createLogger(config);
  const embedded = config.DATABASE_URL ? undefined : await startEmbedded(config, (text) => logger.info(text));
  const fork = () => cluster.fork(embedded ? { DATABASE_URL: embedded.url } : {});
  const all = () => Object.values(cluster.workers ?? {}) as Worker[];
  const serving = new Set<Worker>();
  let failures = 0;
  let isStopping = false;

  const stop = async () => {
    isStopping = true;
    const codes = await Promise.all(all().map(ended));
    await embedded?.stop();
    // The worker has logged why.
    if (codes.some((code) => code !== 0)) process.exit(1);
  };
  const replace = async (worker: Worker, code: number | null, signal: string | null) => {
    if (isStopping) return;
    const why = `Worker ${worker.process.pid} ended (${signal ?? code})`;
    failures = serving.delete(worker) ? 0 : failures + 1;
    if (failures === ATTEMPTS) {
      logger.fatal(`${why} before it served, as did ${ATTEMPTS - 1} before it: giving up.`);
      await stop();
      process.exit(1);
    }
    logger.error(`${why}: another takes its place.`);
    if (failures > 0) await sleep(PAUSE_MS * 2 ** (failures - 1));
    if (!isStopping) fork();
  };

  // Workers accept connections themselves: one that the primary hands to a killed worker would hang forever.
  cluster.schedulingPolicy = cluster.SCHED_NONE;
  relayMetrics();
  cluster.on('listening', (worker) => {
    serving.add(worker);
    failures = 0;
  });
  return {
    logger,
    async listen() {
      const first = fork();
      const url = await new Promise<string>((resolve, reject) => {
        first.once('listening', ({ address, port }) => resolve(`http://${address}:${port}`));
        first.once('exit', () => reject(new StartError('The first worker ended before it served.')));
      }).catch(async (error) => {
        if (isStopping) return '';
        await embedded?.stop();
        throw error;
      });
      cluster.on('exit', (...how) => void replace(...how));
      for (let count = 1; count < config.WEB_CONCURRENCY && !isStopping; count++) fork();
      return url;
    },
    stop,
    abandon() {
      for (const worker of all()) worker.process.kill('SIGKILL');
      embedded?.kill();
    },
  };
}

/** Lets a worker finish its requests. @returns its exit code */
function ended(worker: Worker): Promise<number | null> {
  worker.process.kill('SIGTERM');
  return new Promise((resolve) => worker.once('exit', resolve));
}
