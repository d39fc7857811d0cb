import { argon2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { Inject, Injectable } from '@nestjs/common';
import pLimit from 'p-limit';
import { CONFIG, type Config } from '../platform/config.token.js';
import { unavailable } from '../platform/http/problem.js';
import { showInUse } from '../platform/metrics/in-use.js';

/** OWASP's second choice for argon2id (Password Storage Cheat Sheet): 19 MiB, two passes, one lane. */
const PARAMETERS = { memory: 19_456, passes: 2, parallelism: 1 };
const SALT_BYTES = 16;
const HASH_BYTES = 32;
const FORMAT = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/;

const derive = promisify(argon2);
const encode = (bytes: Buffer) => bytes.toString('base64').replace(/=+$/, '');

/** Hashes and checks passwords, as their schemas give them, on threads beside the event loop, a few at a time. */
@Injectable()
export class PasswordsService {
  private readonly limit;
  private readonly longestQueue: number;
  /** Stands in for an unknown user's, so that both take the same time. */
  private readonly nobody = encodeHash(PARAMETERS, randomBytes(SALT_BYTES), randomBytes(HASH_BYTES));

  constructor(@Inject(CONFIG) config: Config) {
    this.limit = pLimit(config.PASSWORD_HASH_CONCURRENCY);
    this.longestQueue = config.PASSWORD_HASH_QUEUE;
    showInUse('password_hashes', () => this.limit.activeCount + this.limit.pendingCount);
  }

  /** @returns the hash in PHC's string format */
  async hash(password: string): Promise<string> {
    const salt = randomBytes(SALT_BYTES);
    return encodeHash(PARAMETERS, salt, await this.derive(password, salt, PARAMETERS));
  }

  /** Takes as long for an unknown user (no hash) as for a wrong password. */
  async verify(password: string, hash: string | undefined): Promise<boolean> {
    const [, memory, passes, parallelism, salt, expected] = FORMAT.exec(hash ?? this.nobody) ?? [];
    if (!salt || !expected) throw new Error('A password hash in the database is not in PHC format.');
    const parameters = { memory: Number(memory), passes: Number(passes), parallelism: Number(parallelism) };
    const actual = await this.derive(password, Buffer.from(salt, 'base64'), parameters);
    const matches = timingSafeEqual(actual, Buffer.from(expected, 'base64'));
    return matches && hash !== undefined;
  }

  private derive(message: string, nonce: Buffer, parameters: typeof PARAMETERS): Promise<Buffer> {
    if (this.limit.pendingCount >= this.longestQueue)
      throw unavailable('Too many passwords wait to be checked just now.');
    return this.limit(() => derive('argon2id', { message, nonce, tagLength: HASH_BYTES, ...parameters }));
  }
}

const encodeHash = ({ memory, passes, parallelism }: typeof PARAMETERS, salt: Buffer, hash: Buffer): string =>
  `$argon2id$v=19$m=${memory},t=${passes},p=${parallelism}$${encode(salt)}$${encode(hash)}`;
