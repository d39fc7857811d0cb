import type { Logger } from 'pino';
import type { Config } from './config.js';
import { StartError } from './platform/start-error.js';

/** As scripts/embedded-postgres.ts has it, which is development's and no part of the build. */
export interface EmbeddedPostgres {
  url: string;
  dataFolder: string;
  stop(): Promise<void>;
  kill(): void;
}

/** Starts a PostgreSQL of its own, for development. @throws StartError in one sentence, when it cannot */
export async function startEmbedded(config: Config, logger: Logger): Promise<EmbeddedPostgres> {
  try {
    const { EmbeddedPostgres } = await import(new URL('../scripts/embedded-postgres.ts', import.meta.url).href);
    const embedded = await EmbeddedPostgres.start({ folder: config.DATA_DIR });
    logger.info(`PostgreSQL keeps its data in ${embedded.dataFolder}.`);
    return embedded;
  } catch (error) {
    throw new StartError((error as Error).message);
  }
}
