import {
  Inject,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OnModuleInit,
} from '@nestjs/common';
import { CONFIG, type Config } from '../config.token.js';
import { Batch } from '../database/batch.js';
import { Database } from '../database/database.js';
import { databaseProblem } from '../database/database-problem.js';
import { Background } from '../lifecycle/background.js';
import { Redis } from '../redis/redis.js';

/** Each process with readers asks for a tick after so long, at random, unless it hears that another has just asked. */
const ASK_MS = { least: 150, most: 250 };
const CHANNEL = 'floodgate1:ticks';
/** The database, since others may use the same Redis, and a tick of it. */
const MESSAGE = /^(-?\d{1,20}\/\d{1,10}) ([1-9]\d{0,17})$/;
const TIDY_MS = 60_000;
/** Changes that one statement removes. */
const BATCH = 20_000;
/** An arbitrary number that nothing else in the database uses as an advisory lock. */
const TIDY_LOCK = 7_310_421_803;

interface Asked {
  tick: string;
  origin: string;
  isForeign: boolean;
  isMadeByAnother: boolean;
}

const IS_FOREIGN = 'pg_snapshot_xmax(snapshot) > pg_snapshot_xmax(pg_current_snapshot())';

/**
 * Makes a tick if there are changes since the last one. Of several processes that ask at the same time one makes it.
 * A database that was restored from a dump has ticks of another server, whose transaction numbers mean nothing here.
 */
const ASK = {
  name: 'feed_tick',
  text: `
    WITH last AS (SELECT tick, snapshot FROM change_ticks ORDER BY tick DESC LIMIT 1),
    due AS (
      SELECT tick + 1 AS tick, pg_current_snapshot() AS snapshot FROM last
      WHERE EXISTS (SELECT FROM changes
        WHERE xid >= pg_snapshot_xmin(last.snapshot) AND NOT pg_visible_in_snapshot(xid, last.snapshot))),
    made AS (INSERT INTO change_ticks (tick, snapshot) SELECT * FROM due ON CONFLICT DO NOTHING RETURNING tick)
    SELECT coalesce((SELECT tick FROM made), tick)::text AS tick, ${IS_FOREIGN} AS "isForeign",
      (SELECT system_identifier FROM pg_control_system()) || '/' || (SELECT oid FROM pg_database WHERE datname = current_database()) AS origin,
      EXISTS (SELECT FROM due) AND NOT EXISTS (SELECT FROM made) AS "isMadeByAnother" FROM last`,
};

/**
 * Begins anew, at a number that no reader can have seen, unless another process has done so.
 * @param known the last tick that was seen, which is digits
 */
function renewal(known: string): string {
  const isOld = `EXISTS (SELECT FROM change_ticks HAVING bool_or(${IS_FOREIGN}) OR max(tick) < ${known})`;
  return `
    LOCK TABLE change_ticks IN EXCLUSIVE MODE;
    DELETE FROM changes WHERE ${isOld};
    WITH gone AS (DELETE FROM change_ticks WHERE ${isOld} RETURNING tick)
    INSERT INTO change_ticks (tick, snapshot)
    SELECT greatest(max(tick), ${known}) + 1000000, pg_current_snapshot() FROM gone HAVING count(*) > 0`;
}

/** $1: seconds that changes are kept. The last tick always stays. */
const KEPT_TICK = `(SELECT max(tick) FROM change_ticks WHERE at < now() - make_interval(secs => $1))`;
const TIDY_CHANGES = `
  DELETE FROM changes WHERE (SELECT pg_try_advisory_xact_lock(${TIDY_LOCK})) AND ctid = ANY (ARRAY(
    SELECT ctid FROM changes WHERE xid < (SELECT pg_snapshot_xmin(snapshot) FROM change_ticks WHERE tick = ${KEPT_TICK})
    ORDER BY xid LIMIT ${BATCH})) RETURNING 1`;
const TIDY_TICKS = `DELETE FROM change_ticks WHERE tick < ${KEPT_TICK}`;

/**
 * The ticks of the change feed: snapshots, numbered, between which all processes read the same changes. So a reader may go on
 * at any process, and no transaction that commits late is missed, however long it took.
 */
@Injectable()
export class Ticks implements OnModuleInit, OnApplicationBootstrap, OnApplicationShutdown {
  /** The last tick that this process knows of; undefined before the first. */
  last: string | undefined;
  private readonly logger = new Logger(Ticks.name);
  private readonly hearers: ((tick: string) => void)[] = [];
  private timer: NodeJS.Timeout | undefined;
  private readonly asked = new Batch(
    async (asked: undefined[]) => {
      const tick = await this.ask();
      return asked.map(() => tick);
    },
    1,
    Number.POSITIVE_INFINITY,
  );
  private isFailing = false;
  private holders = 0;
  private origin = '';

  constructor(
    private readonly database: Database,
    private readonly redis: Redis,
    private readonly background: Background,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /** Calls back with each new tick while anybody holds them. */
  onTick(hear: (tick: string) => void): void {
    this.hearers.push(hear);
  }

  /** Goes on asking for ticks, until each holder has released them. */
  hold(): void {
    if (this.holders++ === 0) this.wait();
  }

  release(): void {
    this.holders--;
  }

  /** The last tick, after all that was committed before the call. @throws when PostgreSQL cannot be reached */
  now(): Promise<string> {
    return this.asked.get(undefined);
  }

  onModuleInit(): void {
    this.redis.listen(CHANNEL, (message) => {
      const [, origin, tick] = MESSAGE.exec(message) ?? [];
      if (tick !== undefined && origin === this.origin) this.take(tick);
    });
  }

  onApplicationBootstrap(): void {
    const remove = (ending: AbortSignal) => this.removeOld(ending);
    this.background.every(TIDY_MS, 'removal of old changes', remove, databaseProblem);
  }

  onApplicationShutdown(): void {
    this.holders = 0;
    clearTimeout(this.timer);
  }

  /** Removes what is older than FEED_KEPT_S. Of several processes one does it. */
  async removeOld(ending: AbortSignal): Promise<void> {
    const kept = [this.config.FEED_KEPT_S];
    // Without readers nobody else makes ticks, and nothing behind the last one would ever be removed.
    await this.now();
    // First the ticks: a reader who is too late must not find one whose changes are gone.
    await this.database.rows({ text: TIDY_TICKS }, kept);
    while (!ending.aborted && (await this.database.rows({ text: TIDY_CHANGES }, kept)).length === BATCH);
  }

  private wait(): void {
    clearTimeout(this.timer);
    if (this.holders <= 0) return;
    const { least, most } = ASK_MS;
    this.timer = setTimeout(() => void this.now().catch(() => {}), least + Math.random() * (most - least)).unref();
  }

  private async ask(): Promise<string> {
    try {
      const known = this.last ?? '0';
      const [asked] = (await this.database.rows<Asked>(ASK, [])) as [Asked];
      const { tick, origin, isForeign, isMadeByAnother } = asked;
      this.origin = origin;
      // What was known before is committed: a database without it is an older one, as after a failover that lost something.
      if (isForeign || BigInt(tick) < BigInt(known)) {
        await this.renew(known);
        return await this.ask();
      }
      // This statement cannot see it yet, and it may have been made before the last change.
      if (isMadeByAnother) return await this.ask();
      this.isFailing = false;
      void this.redis.attempt((client) => client.publish(CHANNEL, `${origin} ${tick}`), 0);
      this.take(tick);
      return tick;
    } catch (error) {
      if (!this.isFailing) this.logger.warn(`Changes cannot be read, and will be later: ${(error as Error).message}`);
      this.isFailing = true;
      throw error;
    } finally {
      this.wait();
    }
  }

  private take(tick: string): void {
    this.wait();
    if (this.last !== undefined && BigInt(tick) <= BigInt(this.last)) return;
    this.last = tick;
    for (const hear of this.hearers) hear(tick);
  }

  private async renew(known: string): Promise<void> {
    this.logger.warn('The changes are those of another server, as after a restore: readers are told to begin anew.');
    await this.database.transaction((manager) => manager.query(renewal(known)));
  }
}
