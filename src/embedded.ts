import type { Config } from './config.js';
import { StartError } from './platform/start-error.js';

/** The shape of scripts/embedded-postgres.ts, which is for development and not part of the build. */
export interface EmbeddedPostgres {
  url: string;
  dataFolder: string;
  stop(): Promise<void>;
  kill(): void;
}

/** The preferred port, so that database clients can keep their URL from one start to the next. */
const PORT = 54_318;

/** Starts a PostgreSQL of its own, for development. @throws StartError in one sentence, when it cannot */
export async function startEmbedded(config: Config, say: (text: string) => void): Promise<EmbeddedPostgres> {
  try {
    const { EmbeddedPostgres, freePort } = await import(
      new URL('../scripts/embedded-postgres.ts', import.meta.url).href
    );
    const embedded = await EmbeddedPostgres.start({ folder: config.DATA_DIR, port: await freePort(PORT) });
    say(`PostgreSQL keeps its data in ${embedded.dataFolder}.`);
    say(`PostgreSQL is at ${embedded.url}`);
    return embedded;
  } catch (error) {
    throw new StartError((error as Error).message);
  }
}
