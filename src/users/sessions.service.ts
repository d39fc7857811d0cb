import { createHmac, type KeyObject, randomBytes, timingSafeEqual } from 'node:crypto';
import { Inject, Injectable, Logger } from '@nestjs/common';
import { type EntityManager, Not, Raw } from 'typeorm';
import { Cache } from '../platform/cache/cache.js';
import type { Lifetime, Loaded } from '../platform/cache/entry.js';
import { CONFIG } from '../platform/config.token.js';
import { Database } from '../platform/database/database.js';
import { badToken, type Caller, type Role, userTag } from '../platform/http/caller.js';
import { derivedKey } from '../platform/secrets.js';
import { Session } from './session.entity.js';
import { User } from './user.entity.js';
import type { UsersConfig } from './users.settings.js';

/**
 * Conditions by PostgreSQL's clock, which all replicas share. The token before the current one is accepted for another
 * 10 s, since two tabs may refresh at the same time.
 */
const ALIVE = { expiresAt: Raw((column) => `${column} > now()`) };
const JUST_ROTATED = { rotatedAt: Raw((column) => `${column} >= now() - interval '10 s'`) };
/** About how much memory a cached session takes. */
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

/** A new or refreshed session: its user, and the refresh token that is now current. */
export interface Continued {
  user: User;
  sessionId: string;
  refreshToken: string;
}

/** A session under a row lock, and the generation of the refresh token that was presented for it. */
interface Held {
  session: Session;
  generation: number;
  manager: EntityManager;
  end(): Promise<void>;
}

/**
 * Signed-in sessions. A refresh token consists of session, generation and a signature with the session's seed and the
 * application's secret, so neither a copy of the database nor the secret alone is enough to forge one. A generation
 * always has the same token, so two tabs that refresh at once get the same new one.
 */
@Injectable()
export class SessionsService {
  private readonly logger = new Logger(SessionsService.name);
  private readonly key: KeyObject;
  /** The columns that are set when a session begins or is refreshed. */
  private readonly life: Record<'rotatedAt' | 'expiresAt', () => string>;
  private readonly lifetime: Lifetime;

  constructor(
    private readonly database: Database,
    private readonly cache: Cache,
    @Inject(CONFIG) config: UsersConfig,
  ) {
    this.key = derivedKey(config.APP_SECRET, 'refresh-token');
    this.life = { rotatedAt: () => 'now()', expiresAt: () => `now() + interval '${config.REFRESH_TOKEN_TTL_S} s'` };
    this.lifetime = { ttlMs: config.SESSION_CHECK_MS, staleMs: 0 };
  }

  /**
   * @param issue makes the answer before the commit: after it, an error would leave a session that no client knows of
   * @returns undefined when the user was disabled, deleted or given a new password since the password was verified
   */
  async begin<T>({ id, passwordHash }: User, issue: (begun: Continued) => Promise<T>): Promise<T | undefined> {
    return this.database.transaction(async (manager) => {
      // The row lock waits for a concurrent change of the user, which could not see and end this new session.
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
   * Exchanges a refresh token for the next one. A token that was used before is a sign of theft and ends its session.
   * @param issue see begin()
   * @returns undefined when the token is invalid
   */
  async refresh<T>(token: string, issue: (continued: Continued) => Promise<T>): Promise<T | undefined> {
    return this.withSession(token, async ({ session, generation, manager, end }) => {
      const isCurrent = generation === session.generation;
      const isTolerated =
        generation === session.generation - 1 && (await manager.existsBy(Session, { id: session.id, ...JUST_ROTATED }));
      if (!isCurrent && !isTolerated) {
        const whose = `session ${session.id} of user ${session.userId}`;
        this.logger.warn(`A used refresh token was used again: ${whose} was ended.`);
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

  /** The session that a token was issued for, used or not; undefined when it has ended or the token is forged. */
  async sessionOf(token: string): Promise<string | undefined> {
    const [, id, generation] = TOKEN.exec(token) ?? [];
    if (!id) return undefined;
    const [found] = await this.database.rows<Pick<Session, 'seed'>>(FIND_SEED, [id]);
    return found && this.isGenuine(token, { id, generation: Number(generation), ...found }) ? id : undefined;
  }

  /** Ends the session of a refresh token, used or not. An invalid token changes nothing. */
  async end(token: string): Promise<void> {
    await this.withSession(token, ({ end }) => end());
  }

  /** Ends a user's sessions within a transaction, except the given one. */
  async endAll(manager: EntityManager, userId: string, except?: string): Promise<void> {
    await manager.delete(Session, { userId, ...(except ? { id: Not(except) } : {}) });
  }

  /**
   * Checks the caller again, and locks the user's row for the rest of a transaction: the guard's check may be outdated.
   * @returns the caller's current role
   * @throws Problem invalid-token when the session has ended, or its user was disabled or deleted
   */
  async hold(manager: EntityManager, { id, sessionId }: Caller): Promise<Role> {
    const user = await manager.findOne(User, { where: { id, disabled: false }, lock: { mode: 'pessimistic_read' } });
    // A separate statement sees what other transactions have committed while the lock was waited for.
    if (!user || !(await manager.existsBy(Session, { id: sessionId, ...ALIVE }))) throw badToken();
    return user.role;
  }

  /** The user of a session, cached for SESSION_CHECK_MS; undefined when it has ended or the user is disabled. */
  callerOf(sessionId: string): Caller | undefined | Promise<Caller | undefined> {
    const entry = this.cache.fetch(sessionName(sessionId), () => this.load(sessionId), this.lifetime);
    if (!(entry instanceof Promise)) return entry.value;
    // A session that ended during the read is read again, so that no request goes on with it.
    return entry.then(({ value, isSpoiled }) => (isSpoiled ? this.callerOf(sessionId) : value));
  }

  private async load(sessionId: string): Promise<Loaded<Caller | undefined>> {
    const [user] = await this.database.rows<{ id: string; role: Role }>(FIND, [sessionId]);
    const tags = user && [userTag(user.id)];
    return { value: user && { id: user.id, role: user.role, sessionId }, bytes: SESSION_BYTES, tags, isAbsent: !user };
  }

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
    // Also after an error: the connection can be lost after the commit, before its confirmation arrives.
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
