import { createHmac, type KeyObject, timingSafeEqual } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { CONFIG, type Config } from '../config.token.js';
import { invalid } from '../http/problem.js';
import { derivedKey } from '../secrets.js';

const FOREIGN = { pointer: 'cursor', detail: 'was not made by this list with these filters' };

/**
 * Makes and reads cursors. A cursor is a position in a list, signed together with the list and its filters. The
 * signature covers the encoded text, so that every change of a cursor is refused.
 */
@Injectable()
export class Cursors {
  /** Created once, since making a key from raw bytes for each signature takes six times as long as signing. */
  private readonly key: KeyObject;

  constructor(@Inject(CONFIG) config: Config) {
    this.key = derivedKey(config.APP_SECRET, 'cursor');
  }

  /** @param scope the list, its order and its filters */
  seal(position: string[], scope: string): string {
    const payload = Buffer.from(JSON.stringify(position)).toString('base64url');
    return `${payload}.${this.sign(payload, scope)}`;
  }

  /** @throws Problem invalid-request for a cursor that was changed or belongs to another list */
  open(cursor: string, scope: string): string[] {
    const [payload = ''] = cursor.split('.', 1);
    const given = Buffer.from(cursor);
    const expected = Buffer.from(`${payload}.${this.sign(payload, scope)}`);
    // Compares bytes, since timingSafeEqual needs equal lengths and a character may have several bytes.
    if (given.length !== expected.length || !timingSafeEqual(given, expected))
      throw invalid('The cursor does not belong to this list: start again without it.', [FOREIGN]);
    return JSON.parse(Buffer.from(payload, 'base64url').toString());
  }

  private sign(payload: string, scope: string): string {
    return createHmac('sha256', this.key).update(`${scope}\n${payload}`).digest('base64url').slice(0, 22);
  }
}
