import { createHmac, createSecretKey, hkdfSync, type KeyObject, randomBytes, timingSafeEqual } from 'node:crypto';
import { Inject, Injectable, Logger } from '@nestjs/common';
import { type EntityManager, Not, Raw } from 'typeorm';
import { Cache } from '../platform/cache/cache.js';
import type { Lifetime, Loaded } from '../platform/cache/entry.js';
import { CONFIG } from '../platform/config.token.js';
import { Database } from '../platform/database/database.js';
import { badToken, type Caller, type Role, userTag } from '../platform/http/caller.js';
import { Session } from './session.entity.js';
import { User } from './user.entity.js';
import type { UsersConfig } from './users.settings.js';

/**
 * What is found of sessions by PostgreSQL's clock, which is the same for all replicas. The token before the current one is
 * still taken for 10 s: two tabs refresh at the same time.
 */
const ALIVE = { expiresAt: Raw((column) => `${column} > now()`) };
const JUST_ROTATED = { rotatedAt: Raw((column) => `${column} >= now() - interval '10 s'`) };
/** What a session takes in memory, about. */
const SESSION_BYTES = 300;
const SEED_BYTES = 32;
const TOKEN = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.(\d{1,9})\.([A-Za-z0-9_-]{43})$/;

const FIND = {
  name: 'session_caller',
  text: `SELECT u.id, u.role FROM sessions s JOIN users u ON u.id = s.user_id
         WHERE s.id = $1 AND NOT u.disabled AND s.expires_at > now()`,
};

const FIND_SEED = { name: 'session_seed', text: 'SELECT seed FROM sessions WHERE id = $1 AND expires_at > now()' };

const sessionName = (id: string) => `session:${id}`;

/** A session that goes on: whose it is, and the refresh token that is good from now on. */
export interface Continued {
  user: User;
  sessionId: string;
  refreshToken: string;
}

/** A session, locked by the transaction of who came with one of its refresh tokens, and the generation of that token. */
interface Held {
  session: Session;
  generation: number;
  manager: EntityManager;
  end(): Promise<void>;
}

/**
 * Signed-in sessions. A refresh token is session, generation and a signature with the session's seed and the
 * application's secret: neither a copy of the database nor the secret alone is enough to make one, and the same
 * generation always has the same token, so that two tabs which refresh at once get the same new one.
 */
@Injectable()
export class SessionsService {
  private readonly logger = new Logger(SessionsService.name);
  private readonly key: KeyObject;
  /** What a session is given, now or when it is refreshed. */
  private readonly life: Record<'rotatedAt' | 'expiresAt', () => string>;
  private readonly lifetime: Lifetime;

  constructor(
    private readonly database: Database,
    private readonly cache: Cache,
    @Inject(CONFIG) config: UsersConfig,
  ) {
    this.key = createSecretKey(Buffer.from(hkdfSync('sha256', config.APP_SECRET, '', 'refresh-token', 32)));
    this.life = { rotatedAt: () => 'now()', expiresAt: () => `now() + interval '${config.REFRESH_TOKEN_TTL_S} s'` };
    this.lifetime = { ttlMs: config.SESSION_CHECK_MS, staleMs: 0 };
  }

  /**
   * @param issue makes of it what is answered, before the commit: behind it, a failure would leave what nobody was told of
   * @returns undefined when the user was disabled, deleted or given another password since their own was checked
   */
  async begin<T>({ id, passwordHash }: User, issue: (begun: Continued) => Promise<T>): Promise<T | undefined> {
    return this.database.transaction(async (manager) => {
      // The lock waits for a change that is under way, which ends only the sessions that it sees.
      const user = await manager.findOne(User, {
        where: { id, passwordHash, disabled: false },
        lock: { mode: 'pessimistic_read' },
      });
      if (!user) return undefined;
      const begun = { userId: id, seed: randomBytes(SEED_BYTES), generation: 1 };
      const { identifiers } = await manager.insert(Session, { ...begun, ...this.life });
      const sessionId: string = identifiers[0]?.id;
      return issue({ user, sessionId, refreshToken: this.tokenOf({ ...begun, id: sessionId }) });
    });
  }

  /**
   * Spends a refresh token for the next one. One that was spent before is a sign of theft: its session ends.
   * @param issue as above
   * @returns undefined when the token is not good
   */
  async refresh<T>(token: string, issue: (continued: Continued) => Promise<T>): Promise<T | undefined> {
    return this.withSession(token, async ({ session, generation, manager, end }) => {
      const isCurrent = generation === session.generation;
      const isTolerated =
        generation === session.generation - 1 && (await manager.existsBy(Session, { id: session.id, ...JUST_ROTATED }));
      if (!isCurrent && !isTolerated) {
        const whose = `session ${session.id} of user ${session.userId}`;
        this.logger.warn(`A spent refresh token came again: ${whose} was ended.`);
        await end();
        return undefined;
      }
      if (isCurrent) {
        session.generation++;
        await manager.update(Session, session.id, { generation: session.generation, ...this.life });
      }
      const user = await manager.findOneBy(User, { id: session.userId, disabled: false });
      return user ? issue({ user, sessionId: session.id, refreshToken: this.tokenOf(session) }) : undefined;
    });
  }

  /** The session that a token was made for, spent or not; undefined when it has ended, or the token was never good. */
  async sessionOf(token: string): Promise<string | undefined> {
    const [, id, generation] = TOKEN.exec(token) ?? [];
    if (!id) return undefined;
    const [found] = await this.database.rows<Pick<Session, 'seed'>>(FIND_SEED, [id]);
    return found && this.isGenuine(token, { id, generation: Number(generation), ...found }) ? id : undefined;
  }

  /** Ends the session of a refresh token, spent or not; one that is not good changes nothing. */
  async end(token: string): Promise<void> {
    await this.withSession(token, ({ end }) => end());
  }

  /** Ends a user's sessions within a transaction, but for the one given. */
  async endAll(manager: EntityManager, userId: string, except?: string): Promise<void> {
    await manager.delete(Session, { userId, ...(except ? { id: Not(except) } : {}) });
  }

  /**
   * Holds fast, for the rest of a transaction, who was let in as caller: what was found of them then may have changed since.
   * @returns their role, as it is now
   * @throws Problem invalid-token when the session has ended, or its user was disabled or deleted
   */
  async hold(manager: EntityManager, { id, sessionId }: Caller): Promise<Role> {
    const user = await manager.findOne(User, { where: { id, disabled: false }, lock: { mode: 'pessimistic_read' } });
    // In a statement of its own, which sees what was done by those whom the lock has waited for.
    if (!user || !(await manager.existsBy(Session, { id: sessionId, ...ALIVE }))) throw badToken();
    return user.role;
  }

  /** Who a session belongs to, kept for SESSION_CHECK_MS; undefined when it has ended or its user is disabled. */
  callerOf(sessionId: string): Caller | undefined | Promise<Caller | undefined> {
    const entry = this.cache.fetch(sessionName(sessionId), () => this.load(sessionId), this.lifetime);
    if (!(entry instanceof Promise)) return entry.value;
    // One that ended while it was being read is nobody's to go on with, whoever began to read it.
    return entry.then(({ value, isSpoiled }) => (isSpoiled ? this.callerOf(sessionId) : value));
  }

  private async load(sessionId: string): Promise<Loaded<Caller | undefined>> {
    const [user] = await this.database.rows<{ id: string; role: Role }>(FIND, [sessionId]);
    const tags = user && [userTag(user.id)];
    return { value: user && { id: user.id, role: user.role, sessionId }, bytes: SESSION_BYTES, tags, isAbsent: !user };
  }

  /** Removes sessions that nobody came back to. */
  async removeExpired(): Promise<void> {
    await this.database.rows({ text: 'DELETE FROM sessions WHERE expires_at < now()' }, []);
  }

  private async withSession<T>(token: string, work: (held: Held) => Promise<T>): Promise<T | undefined> {
    const [, id, generation] = TOKEN.exec(token) ?? [];
    if (!id) return undefined;
    let isEnded = false;
    const done = this.database.transaction(async (manager) => {
      const session = await manager.findOne(Session, { where: { id, ...ALIVE }, lock: { mode: 'pessimistic_write' } });
      if (!session) return undefined;
      const named = Number(generation);
      const end = async () => {
        isEnded = true;
        await manager.delete(Session, id);
      };
      const isGenuine = this.isGenuine(token, { ...session, generation: named });
      return isGenuine ? work({ session, generation: named, manager, end }) : undefined;
    });
    // Also when it seems to have failed: a connection can be lost between the commit and the word of it.
    return done.finally(() => {
      if (isEnded) this.cache.invalidate(sessionName(id));
    });
  }

  private isGenuine(token: string, session: Pick<Session, 'id' | 'generation' | 'seed'>): boolean {
    const expected = this.tokenOf(session);
    return expected.length === token.length && timingSafeEqual(Buffer.from(expected), Buffer.from(token));
  }

  private tokenOf({ id, generation, seed }: Pick<Session, 'id' | 'generation' | 'seed'>): string {
    const signature = createHmac('sha256', this.key).update(seed).update(`${id}.${generation}`).digest('base64url');
    return `${id}.${generation}.${signature}`;
  }
}
