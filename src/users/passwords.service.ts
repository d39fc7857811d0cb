import { argon2, randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { promisify } from 'node:util';
import { Inject, Injectable } from '@nestjs/common';
import { CONFIG } from '../platform/config.token.js';
import { unavailable } from '../platform/http/problem.js';
import { showInUse } from '../platform/metrics/in-use.js';
import { FairQueue } from './fair-queue.js';
import type { UsersConfig } from './users.settings.js';

/** OWASP's second recommendation for argon2id (Password Storage Cheat Sheet): 19 MiB, two passes, one lane. */
const PARAMETERS = { memory: 19_456, passes: 2, parallelism: 1 };
const SALT_BYTES = 16;
const HASH_BYTES = 32;
const FORMAT = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/;

const derive = promisify(argon2);
const encode = (bytes: Buffer) => bytes.toString('base64').replace(/=+$/, '');

/** The line in the queue that a hash waits in: its purpose, and the user or address that asks. */
export interface Turn {
  of: 'login' | 'register' | 'change';
  by: string;
  /** The request's place in admission, given back meanwhile: the time of a hash says nothing about the load. */
  place?: IncomingMessage['place'];
}

/** The turn of a user's change of their own password. Tries of the current one are limited. */
export interface Attempt extends Turn {
  /**
   * Counts a try before the password is checked.
   * @returns a function to call when the password was right
   * @throws Problem quota-exceeded
   */
  trial(user: { id: string; canonicalEmail: string }): Promise<() => void>;
}

/**
 * Hashes and verifies passwords, in the form that their schemas make, on threads outside the event loop: a few at a
 * time, and with fair turns between callers.
 */
@Injectable()
export class PasswordsService {
  private readonly queue: FairQueue<Turn['of']>;
  /** Is verified in place of an unknown user's hash, so that the time does not tell whether the user exists. */
  private readonly nobody = encodeHash(PARAMETERS, randomBytes(SALT_BYTES), randomBytes(HASH_BYTES));

  constructor(@Inject(CONFIG) config: UsersConfig) {
    const { PASSWORD_HASH_CONCURRENCY: atOnce, PASSWORD_HASH_QUEUE: room } = config;
    this.queue = new FairQueue(atOnce, room, () => unavailable('Too many passwords are waiting for their hash.'));
    showInUse('password_hashes', () => this.queue.size);
  }

  /** @returns the hash in the PHC string format */
  async hash(password: string, turn: Turn): Promise<string> {
    const salt = randomBytes(SALT_BYTES);
    return encodeHash(PARAMETERS, salt, await this.derive(password, salt, PARAMETERS, turn));
  }

  /** Takes the same time for an unknown user (no hash) as for a wrong password. */
  async verify(password: string, hash: string | undefined, turn: Turn): Promise<boolean> {
    const [, memory, passes, parallelism, salt, expected] = FORMAT.exec(hash ?? this.nobody) ?? [];
    if (!salt || !expected) throw new Error('A password hash in the database is not in PHC format.');
    const parameters = { memory: Number(memory), passes: Number(passes), parallelism: Number(parallelism) };
    const actual = await this.derive(password, Buffer.from(salt, 'base64'), parameters, turn);
    const matches = timingSafeEqual(actual, Buffer.from(expected, 'base64'));
    return matches && hash !== undefined;
  }

  private derive(
    message: string,
    nonce: Buffer,
    parameters: typeof PARAMETERS,
    { of, by, place }: Turn,
  ): Promise<Buffer> {
    const hashed = this.queue.run(of, by, () =>
      derive('argon2id', { message, nonce, tagLength: HASH_BYTES, ...parameters }),
    );
    return place ? place.outside(hashed) : hashed;
  }
}

const encodeHash = ({ memory, passes, parallelism }: typeof PARAMETERS, salt: Buffer, hash: Buffer): string =>
  `$argon2id$v=19$m=${memory},t=${passes},p=${parallelism}$${encode(salt)}$${encode(hash)}`;
