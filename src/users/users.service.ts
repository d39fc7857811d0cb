import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { type EntityManager, Repository } from 'typeorm';
import { Cache } from '../platform/cache/cache.js';
import { Database } from '../platform/database/database.js';
import { brokenConstraint } from '../platform/database/database-problem.js';
import type { Answer } from '../platform/http/answer.js';
import type { Caller } from '../platform/http/caller.js';
import { Cursors } from '../platform/http/cursor.js';
import { assertIfMatch, entityTag } from '../platform/http/entity-tag.js';
import type { Page } from '../platform/http/page.js';
import { invalid, notFound, Problem } from '../platform/http/problem.js';
import { PasswordsService } from './passwords.service.js';
import { SessionsService } from './sessions.service.js';
import { User } from './user.entity.js';
import type { NewUser, UserPatch, UserQuery } from './user.schema.js';
import { presentUser, userAnswer, userPath, userTag } from './user.schema.js';

const missing = () => notFound('There is no user with this id.');

@Injectable()
export class UsersService {
  constructor(
    @InjectRepository(User) private readonly users: Repository<User>,
    private readonly database: Database,
    private readonly passwords: PasswordsService,
    private readonly sessions: SessionsService,
    private readonly cursors: Cursors,
    private readonly cache: Cache,
  ) {}

  /**
   * @returns the answer, made before the commit: behind it, a failure would be told of what is done
   * @throws Problem conflict when the address is taken
   */
  async create({ email, password, name }: NewUser, role: User['role'] = 'user'): Promise<Answer> {
    const passwordHash = await this.passwords.hash(password);
    const user = this.users.create({ email, name, role, passwordHash, disabled: false });
    const work = this.database.transaction(async (manager) => {
      const { id } = await manager.save(user);
      return userAnswer(user, { location: userPath(id) });
    });
    return work.catch(toProblem);
  }

  /** The user whose address (folded) and password these are; takes the same time whether the address is known or not. */
  async authenticate(email: string, password: string): Promise<User | undefined> {
    const user = await this.users.findOneBy({ canonicalEmail: email });
    const isRight = await this.passwords.verify(password, user?.passwordHash);
    return user && isRight && !user.disabled ? user : undefined;
  }

  /** @throws Problem not-found, or what else stands for a user who is not there */
  async get(id: string, orThrow = missing): Promise<User> {
    const user = await this.users.findOneBy({ id });
    if (!user) throw orThrow();
    return user;
  }

  /** Users, newest first. */
  list({ role, email, ...page }: UserQuery): Promise<Page> {
    return this.cursors.page(page, {
      scope: ['users', role, email],
      find: (limit, after) => {
        const query = this.users.createQueryBuilder('u').orderBy('u.createdAt', 'DESC').addOrderBy('u.id', 'DESC');
        if (role) query.andWhere('u.role = :role', { role });
        const prefix = email?.replace(/[\\%_]/g, '\\$&');
        if (prefix) query.andWhere('u.canonicalEmail LIKE :pattern', { pattern: `${prefix}%` });
        if (after) query.andWhere('(u.created_at, u.id) < (:at, :id)', { at: after[0], id: after[1] });
        return query.limit(limit).getMany();
      },
      show: presentUser,
      positionOf: ({ createdAt, id }) => [createdAt.toISOString(), id],
    });
  }

  /**
   * @returns the answer, made before the commit
   * @throws Problem forbidden for what only admins may change, invalid-request for a wrong current password,
   *   conflict for a taken address or the last admin
   */
  async update(caller: Caller, id: string, patch: UserPatch, ifMatch: string | undefined): Promise<Answer> {
    if (caller.role !== 'admin' && (patch.role !== undefined || patch.disabled !== undefined))
      throw new Problem('forbidden', 'Only an admin changes role and disabled.');
    const passwordHash = await this.newPasswordHash(caller, id, patch, ifMatch);
    const work = this.database.transaction(async (manager) => {
      const user = await this.lock(manager, id, ifMatch);
      const { name, email, role, disabled } = { ...user, ...patch };
      if (role !== 'admin' || disabled) await this.assertNotLastAdmin(manager, user);
      Object.assign(user, { name, email, role, disabled, ...(passwordHash ? { passwordHash } : {}) });
      if (disabled) await this.sessions.endAll(manager, id);
      else if (passwordHash) await this.sessions.endAll(manager, id, id === caller.id ? caller.sessionId : undefined);
      return userAnswer(await manager.save(user));
    });
    return work.finally(() => this.cache.invalidate(userPath(id), userTag(id))).catch(toProblem);
  }

  /** Sessions, collections and records go with the user. */
  async remove(id: string, ifMatch: string | undefined): Promise<void> {
    const work = this.database.transaction(async (manager) => {
      const user = await this.lock(manager, id, ifMatch);
      await this.assertNotLastAdmin(manager, user);
      await manager.remove(user);
    });
    await work.finally(() => this.cache.invalidate(userPath(id), userTag(id)));
  }

  private async newPasswordHash(caller: Caller, id: string, patch: UserPatch, ifMatch: string | undefined) {
    const { password, currentPassword } = patch;
    if (password === undefined) return undefined;
    const user = await this.get(id);
    // Nothing is hashed for a change that is stale already; under its lock it is looked at again.
    assertIfMatch(ifMatch, entityTag(user));
    const isOwn = caller.id === id;
    if (isOwn && !(currentPassword && (await this.passwords.verify(currentPassword, user.passwordHash)))) {
      const detail = currentPassword ? 'is wrong' : 'is missing';
      throw invalid('Your own password is changed with the current one.', [{ pointer: '/currentPassword', detail }]);
    }
    return this.passwords.hash(password);
  }

  private async lock(manager: EntityManager, id: string, ifMatch: string | undefined): Promise<User> {
    const user = await manager.findOne(User, { where: { id }, lock: { mode: 'pessimistic_write' } });
    if (!user) throw missing();
    assertIfMatch(ifMatch, entityTag(user));
    return user;
  }

  /** Locks all admins, in one order, so that two of them cannot go at the same time. */
  private async assertNotLastAdmin(manager: EntityManager, user: User): Promise<void> {
    if (user.role !== 'admin' || user.disabled) return;
    const admins = await manager.find(User, {
      select: { id: true },
      where: { role: 'admin', disabled: false },
      order: { id: 'ASC' },
      lock: { mode: 'pessimistic_write' },
    });
    if (admins.length === 1) throw new Problem('conflict', 'This is the last admin: make another one first.');
  }
}

/** The constraints that an address which is taken may break: the former is what the release before goes by. */
const ONE_ADDRESS = ['users_email', 'users_canonical_email'];

function toProblem(error: unknown): never {
  throw ONE_ADDRESS.includes(brokenConstraint(error) ?? '')
    ? new Problem('conflict', 'This email address is taken.')
    : error;
}
