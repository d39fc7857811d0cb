import { randomUUID } from 'node:crypto';
import type { PoolClient } from 'pg';
import type { Database } from '../../database/database.js';
import { type IdempotencyKey, isOtherRequest, isRunning, KEPT } from '../idempotency.js';
import type { Progress } from './batches.js';

const EXPIRED = `k.created_at < now() - ${KEPT}`;

/** Claims a key that is new, expired, or released with its upload unfinished. */
const CLAIM = `
  INSERT INTO idempotency_keys AS k (caller_id, key, holder, fingerprint, held_until, collection_id)
  VALUES ($1, $2, $3, $4, now() + $5 * interval '1 ms', $6)
  ON CONFLICT (caller_id, key) DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until,
    fingerprint = excluded.fingerprint, collection_id = excluded.collection_id,
    items = CASE WHEN ${EXPIRED} THEN 0 ELSE k.items END,
    digest = CASE WHEN ${EXPIRED} THEN NULL ELSE k.digest END,
    report = CASE WHEN ${EXPIRED} THEN NULL ELSE k.report END,
    body = NULL,
    created_at = CASE WHEN ${EXPIRED} THEN now() ELSE k.created_at END
  WHERE ${EXPIRED} OR (k.body IS NULL AND k.held_until < now() AND k.fingerprint = excluded.fingerprint)
  RETURNING items, digest, coalesce(report, '{"inserted":0,"failed":0,"errors":[]}') AS report`;

const FIND = `
  SELECT fingerprint, body IS NOT NULL AS "isFinished", items, digest, report FROM idempotency_keys
  WHERE caller_id = $1 AND key = $2`;

const SAVE = `
  UPDATE idempotency_keys SET items = $4, digest = $5, report = $6, body = $7, held_until = now() + $8 * interval '1 ms'
  WHERE caller_id = $1 AND key = $2 AND holder = $3`;

/** Deletes the key of an upload that has stored nothing. */
const FORGET = `DELETE FROM idempotency_keys
  WHERE caller_id = $1 AND key = $2 AND holder = $3 AND body IS NULL AND items = 0`;

const HOLD = `UPDATE idempotency_keys SET held_until = now() + $4 * interval '1 ms'
  WHERE caller_id = $1 AND key = $2 AND holder = $3 AND body IS NULL`;

type Found = Progress & { fingerprint: Buffer };

/** An upload's lease on its Idempotency-Key, renewed until it is released. The lease of a crashed upload expires. */
export class HeldKey {
  private readonly heartbeat: NodeJS.Timeout;

  constructor(
    private readonly database: Database,
    /** Caller, key and holder: the first parameters of every statement. */
    private readonly id: readonly string[],
    private readonly leaseMs: number,
  ) {
    this.heartbeat = setInterval(() => void this.hold(leaseMs).catch(() => {}), leaseMs / 3).unref();
  }

  /**
   * Saves progress in the transaction that makes it. With a body, the upload is finished.
   * @throws Problem conflict when the lease has expired and another request has taken over
   */
  async save(client: PoolClient, { items, digest, report }: Progress, body: string | null = null): Promise<void> {
    const values = [...this.id, items, digest, JSON.stringify(report), body, this.leaseMs];
    const { rowCount } = await client.query(SAVE, values);
    if (rowCount === 0) throw isRunning();
  }

  /** Releases the key, so that a retry need not wait. If nothing was stored, the key is deleted. */
  async release(): Promise<void> {
    clearInterval(this.heartbeat);
    const forgotten = this.database.rows({ text: FORGET }, [...this.id]);
    await forgotten.then(() => this.hold(-1)).catch(() => {});
  }

  private async hold(forMs: number): Promise<void> {
    await this.database.rows({ text: HOLD }, [...this.id, forMs]);
  }
}

/** The Idempotency-Keys of uploads. */
export class UploadKeys {
  constructor(
    private readonly database: Database,
    private readonly leaseMs: number,
  ) {}

  /**
   * @param parentId of the rows, with which the key is removed
   * @returns the progress of the upload under this key, and the lease on it unless it is finished
   * @throws Problem conflict while another request holds the key, idempotency-key-reused if that request was different
   */
  async claim(
    { callerId, key }: IdempotencyKey,
    parentId: string | null,
    fingerprint: Buffer,
  ): Promise<{ begun: Progress; held?: HeldKey }> {
    const holder = randomUUID();
    const claim = [callerId, key, holder, fingerprint, this.leaseMs, parentId];
    const [begun] = await this.database.rows<Progress>({ text: CLAIM }, claim);
    if (begun) return { begun, held: new HeldKey(this.database, [callerId, key, holder], this.leaseMs) };
    const [found] = await this.database.rows<Found>({ text: FIND }, [callerId, key]);
    if (found && !found.fingerprint.equals(fingerprint)) throw isOtherRequest();
    if (!found?.isFinished) throw isRunning();
    return { begun: found };
  }
}
