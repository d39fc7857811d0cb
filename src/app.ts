import { Logger as NestLog } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { type Added, AppModule, NOTHING } from './app.module.js';
import type { Config } from './config.js';
import { serveDocument } from './docs.js';
import { startEmbedded } from './embedded.js';
import { migrations } from './migrations.js';
import { Cache } from './platform/cache/cache.js';
import { databaseProblem, sqlState } from './platform/database/database-problem.js';
import { PrimaryAndReplicas } from './platform/database/primary-and-replicas.js';
import { prepareSchema } from './platform/database/schema.js';
import { Edge } from './platform/edge/edge.js';
import { accepting, assertFree, cannotListen } from './platform/http/acceptors.js';
import { HttpAdapter } from './platform/http/adapter.js';
import { isProbe } from './platform/http/probe.js';
import { notFound } from './platform/http/problem.js';
import { Lifecycle } from './platform/lifecycle/lifecycle.js';
import { releaseMemoryWhenIdle } from './platform/lifecycle/release-memory.js';
import { AccessLog, registerAccessLog } from './platform/logging/access-log.js';
import { createLogger } from './platform/logging/logger.js';
import { NestLogger } from './platform/logging/nest-logger.js';
import { httpMetrics, registerHttpMetrics } from './platform/metrics/http-metrics.js';
import type { Otlp } from './platform/otlp/otlp.js';
import { Admission } from './platform/overload/admission.js';
import { Backlog, registerBacklog } from './platform/overload/backlog.js';
import { StartError } from './platform/start-error.js';
import { trustText } from './platform/throttle/address.js';
import { registerThrottle, Throttle } from './platform/throttle/throttle.js';
import { serveWelcome } from './welcome.js';
import type { Running } from './workers.js';

/** Floodgate, put together and ready to listen. */
export interface App extends Running {
  nest: NestFastifyApplication;
}

/**
 * Puts the app together; main, tests and the bench all use it.
 * @throws StartError in one sentence, when it cannot start
 */
export async function createApp(given: Config, otlp?: Otlp, added = NOTHING): Promise<App> {
  await assertFree(given);
  const tracing = otlp?.tracing;
  const logger = createLogger(given, tracing && (() => tracing.idsOf()), otlp?.send);
  NestLog.overrideLogger(new NestLogger(logger));
  const embedded = given.DATABASE_URL ? undefined : await startEmbedded(given, (text) => logger.info(text));
  const config = embedded ? { ...given, DATABASE_URL: embedded.url } : given;
  try {
    await prepareSchema(config, [...migrations, ...added.migrations], (text) => logger.info(text));
    const { nest, edge, adapter } = await assemble(config, logger, added, tracing);
    const lifecycle = nest.get(Lifecycle);
    return {
      nest,
      logger,
      async listen() {
        try {
          await listen(nest, config);
        } catch (error) {
          await embedded?.stop();
          throw error;
        }
        logger.info(trustText(config.TRUST_PROXY));
        lifecycle.serve();
        releaseMemoryWhenIdle();
        return nest.getUrl();
      },
      async stop() {
        nest.get(PrimaryAndReplicas).giveBackIdle();
        await lifecycle.drain(config.DRAIN_DELAY_MS, () => {
          adapter.stopListening();
          edge.close();
        });
        await nest.close();
        await Promise.all([embedded?.stop(), otlp?.stop()]);
      },
      abandon: () => embedded?.kill(),
    };
  } catch (error) {
    await embedded?.stop();
    if (error instanceof StartError || !(databaseProblem(error) || sqlState(error))) throw error;
    const what = databaseProblem(error) ? 'The database cannot be used' : 'PostgreSQL refused what the start needs';
    throw new StartError(`${what}: ${(error as Error).message}`);
  }
}

async function assemble(config: Config, logger: Logger, added: Added, tracing: Otlp['tracing']) {
  const accessLog = new AccessLog(config, logger, tracing && ((request) => tracing.idsOf(request)));
  const isOnlyWorker = config.WORKER === 'only';
  const edge = new Edge({ ...config, EDGE: config.EDGE && !isOnlyWorker }, accessLog);
  const adapter = new HttpAdapter(config, logger, (pipeline) => {
    const entrance = edge.before(pipeline);
    return tracing?.around(entrance, (request) => edge.routeOf(request)) ?? entrance;
  });
  const fastify = adapter.getInstance<FastifyInstance>();
  httpMetrics.exemplarOf = tracing && ((request) => tracing.exemplarOf(request));
  registerHttpMetrics(fastify);
  if (isOnlyWorker) refuseAllButProbes(fastify);
  registerAccessLog(fastify, accessLog);
  const root = AppModule.forRoot(config, logger, edge, added);
  const nest = await NestFactory.create<NestFastifyApplication>(root, adapter, {
    bodyParser: false,
    abortOnError: false,
  });
  registerThrottle(fastify, nest.get(Throttle));
  markWrites(fastify, nest.get(PrimaryAndReplicas));
  const [admission, backlog] = [nest.get(Admission), nest.get(Backlog)];
  edge.open(nest.get(Cache), nest.get(Throttle), admission, backlog);
  fastify.addHook('preClose', async () => {
    admission.close();
  });
  // Clients that read nothing would otherwise delay the stop.
  fastify.addHook('onClose', async () => backlog.close());
  registerBacklog(fastify, backlog, nest.get(Throttle));
  serveWelcome(fastify);
  await serveDocument(nest, fastify, config);
  await nest.init();
  adapter.sealRoutes();
  return { nest, edge, adapter };
}

async function listen(nest: NestFastifyApplication, config: Config): Promise<void> {
  try {
    await assertFree(config);
    await nest.listen({
      port: config.PORT,
      host: config.HOST,
      ...accepting,
      listenTextResolver: (address) => `Floodgate listens on ${address}; its API is described at ${address}/docs`,
    });
  } catch (error) {
    await nest.close();
    throw error instanceof StartError ? error : cannotListen(config, error as NodeJS.ErrnoException);
  }
}

function refuseAllButProbes(fastify: FastifyInstance): void {
  fastify.addHook('onRequest', ({ raw }, _reply, done) =>
    done(isProbe(raw) ? undefined : notFound('This process works jobs, and has no API.')),
  );
}

/** After a write, the caller reads from the primary for a while, so that replication lag never hides the caller's own change. */
function markWrites(fastify: FastifyInstance, servers: PrimaryAndReplicas): void {
  fastify.addHook('onSend', (request, _reply, _payload, done) => {
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    if (!isRead && request.caller) servers.wrote(request.caller.id);
    done();
  });
}
