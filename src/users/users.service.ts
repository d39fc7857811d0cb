import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { type EntityManager, In, Not, Repository } from 'typeorm';
import { Cache } from '../platform/cache/cache.js';
import { Database } from '../platform/database/database.js';
import { brokenConstraint } from '../platform/database/database-problem.js';
import { Answer } from '../platform/http/answer.js';
import type { Caller, Role } from '../platform/http/caller.js';
import { assertIfMatch, entityTag } from '../platform/http/entity-tag.js';
import { invalid, notFound, Problem } from '../platform/http/problem.js';
import { beginsWith, equal } from '../platform/resource/filters.js';
import type { Page } from '../platform/resource/page.js';
import type { ResourceRepository } from '../platform/resource/repository.js';
import { ResourceRepositories } from '../platform/resource/resource-repositories.js';
import { type Attempt, PasswordsService, type Turn } from './passwords.service.js';
import { SessionsService } from './sessions.service.js';
import { User } from './user.entity.js';
import type { NewUser, UserPatch, UserQuery } from './user.schema.js';
import { namesOf, PRIVATE, userAnswer, userPath, userSchema } from './user.schema.js';

/** An arbitrary number that no other advisory lock in the database uses. */
const LAST_ADMIN_LOCK = 7_310_421_803;

const missing = () => notFound('There is no user with this id.');

function wrongCurrentPassword(detail: string): Problem {
  return invalid('Changing your own password needs the current one.', [{ pointer: '/currentPassword', detail }]);
}

@Injectable()
export class UsersService {
  private readonly shown: ResourceRepository<User>;

  constructor(
    @InjectRepository(User) private readonly users: Repository<User>,
    private readonly database: Database,
    private readonly passwords: PasswordsService,
    private readonly sessions: SessionsService,
    private readonly cache: Cache,
    repositories: ResourceRepositories,
  ) {
    const filters = { role: equal('role'), email: beginsWith('canonicalEmail') };
    this.shown = repositories.of(User, { shown: userSchema, filters });
  }

  /**
   * @returns the answer, made before the commit: after it, an error would report a user who was created as failed
   * @throws Problem conflict when the email is taken
   */
  async create({ email, password, name }: NewUser, turn: Turn, role: Role = 'user'): Promise<Answer> {
    const passwordHash = await this.passwords.hash(password, turn);
    const user = this.users.create({ email, name, role, passwordHash, disabled: false });
    const work = this.database.transaction(async (manager) => {
      const { id } = await manager.save(user);
      return userAnswer(user, { location: userPath(id) });
    });
    return work.catch(toProblem);
  }

  /** The user with this canonical email and password. It takes the same time whether the email is known or not. */
  async authenticate(email: string, password: string, turn: Turn): Promise<User | undefined> {
    const user = await this.users.findOneBy({ canonicalEmail: email });
    const isRight = await this.passwords.verify(password, user?.passwordHash, turn);
    return user && isRight && !user.disabled ? user : undefined;
  }

  /** @param orThrow makes the problem for a user who does not exist */
  async read(id: string, orThrow = missing): Promise<Answer> {
    const found = await this.shown.find(userPath(id), id);
    if (!found) throw orThrow();
    return new Answer(found.json, { etag: found.etag, headers: PRIVATE });
  }

  /** A page of users, newest first. */
  list({ role, email, limit, cursor }: UserQuery, callerId: string): Promise<Page> {
    const listed = { where: {}, filters: { role, email }, sort: 'createdAt', order: 'desc', limit, cursor } as const;
    return this.shown.page(listed, callerId, ['users', role, email]);
  }

  /**
   * @returns the answer, made before the commit
   * @throws Problem forbidden for what only admins may change, invalid-request for a wrong current password,
   *   invalid-token when the caller's session has ended meanwhile, quota-exceeded, conflict for a taken email or the
   *   last admin
   */
  async update(
    caller: Caller,
    id: string,
    patch: UserPatch,
    ifMatch: string | undefined,
    attempt: Attempt,
  ): Promise<Answer> {
    assertMay(caller, id, patch);
    const hashes = await this.newPassword(caller, id, patch, ifMatch, attempt);
    const work = this.database.transaction(async (manager) => {
      const user = await this.lock(manager, caller, id, ifMatch, patch);
      // The password was verified before the row lock, so another request may have changed it meanwhile.
      if (hashes?.verified && hashes.verified !== user.passwordHash) throw wrongCurrentPassword('is wrong');
      const { name, email, role, disabled } = { ...user, ...patch };
      if (role !== 'admin' || disabled) await this.assertNotLastAdmin(manager, user);
      Object.assign(user, { name, email, role, disabled, ...(hashes ? { passwordHash: hashes.made } : {}) });
      if (disabled) await this.sessions.endAll(manager, id);
      else if (hashes) await this.sessions.endAll(manager, id, id === caller.id ? caller.sessionId : undefined);
      return userAnswer(await manager.save(user));
    });
    return work.finally(() => this.cache.invalidate(...namesOf(id))).catch(toProblem);
  }

  /** Deletes a user with all sessions, collections and records. */
  async remove(caller: Caller, id: string, ifMatch: string | undefined): Promise<void> {
    const work = this.database.transaction(async (manager) => {
      const user = await this.lock(manager, caller, id, ifMatch);
      await this.assertNotLastAdmin(manager, user);
      await manager.remove(user);
    });
    await work.finally(() => this.cache.invalidate(...namesOf(id)));
  }

  /** @returns the new password's hash and, if the caller is the user, the hash that the current password matched */
  private async newPassword(
    caller: Caller,
    id: string,
    { password, currentPassword }: UserPatch,
    ifMatch: string | undefined,
    attempt: Attempt,
  ): Promise<{ made: string; verified: string | undefined } | undefined> {
    if (password === undefined) return undefined;
    const user = await this.users.findOneBy({ id });
    if (!user) throw missing();
    // Checked here to hash nothing for a stale change, and once more under the row lock.
    assertIfMatch(ifMatch, entityTag(user));
    const isOwn = caller.id === id;
    if (isOwn) {
      if (!currentPassword) throw wrongCurrentPassword('is missing');
      const succeed = await attempt.trial(user);
      if (!(await this.passwords.verify(currentPassword, user.passwordHash, attempt)))
        throw wrongCurrentPassword('is wrong');
      succeed();
    }
    return { made: await this.passwords.hash(password, attempt), verified: isOwn ? user.passwordHash : undefined };
  }

  /**
   * Locks the rows of a user and of the caller, whose current rights count. Rows are locked in one order, so that two
   * admins who change each other cause no deadlock.
   */
  private async lock(
    manager: EntityManager,
    caller: Caller,
    id: string,
    ifMatch: string | undefined,
    patch?: UserPatch,
  ): Promise<User> {
    const locked = await manager.find(User, {
      where: { id: In([id, caller.id]) },
      order: { id: 'ASC' },
      lock: { mode: 'pessimistic_write' },
    });
    assertMay({ ...caller, role: await this.sessions.hold(manager, caller) }, id, patch);
    const user = locked.find((one) => one.id === id);
    if (!user) throw missing();
    assertIfMatch(ifMatch, entityTag(user));
    return user;
  }

  /** Serializes removals of admins by an advisory lock, taken after all other locks, and then checks who is left. */
  private async assertNotLastAdmin(manager: EntityManager, { id, role, disabled }: User): Promise<void> {
    if (role !== 'admin' || disabled) return;
    await manager.query('SELECT pg_advisory_xact_lock($1)', [LAST_ADMIN_LOCK]);
    if (!(await manager.existsBy(User, { id: Not(id), role: 'admin', disabled: false })))
      throw new Problem('conflict', 'This is the last admin: make another user an admin first.');
  }
}

/** The unique constraints on emails. The previous release relies on the first. */
const ONE_ADDRESS = ['users_email', 'users_canonical_email'];

/** @throws Problem forbidden */
function assertMay({ id: callerId, role }: Caller, id: string, patch: UserPatch = {}): void {
  if (role === 'admin') return;
  if (callerId !== id) throw new Problem('forbidden', 'Only the user and admins may do this.');
  if (patch.role !== undefined || patch.disabled !== undefined)
    throw new Problem('forbidden', 'Only admins may change role and disabled.');
}

function toProblem(error: unknown): never {
  throw ONE_ADDRESS.includes(brokenConstraint(error) ?? '')
    ? new Problem('conflict', 'This email address is taken.')
    : error;
}
