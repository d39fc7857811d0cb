import type { MigrationInterface } from 'typeorm';
import { Initial1764000000000 } from './1764000000000-initial.js';
import { Idempotency1764100000000 } from './1764100000000-idempotency.js';
import { Collations1764200000000 } from './1764200000000-collations.js';
import { KeyRemovals1764300000000 } from './1764300000000-key-removals.js';
import { CanonicalEmail1764400000000 } from './1764400000000-canonical-email.js';
import { CanonicalEmailIndex1764500000000 } from './1764500000000-canonical-email-index.js';
import { RecordCounts1764600000000 } from './1764600000000-record-counts.js';
import { Jobs1764750000000 } from './1764750000000-jobs.js';
import { Changes1764760000000 } from './1764760000000-changes.js';
import { Webhooks1764800000000 } from './1764800000000-webhooks.js';
import { RecordKey1764900000000 } from './1764900000000-record-key.js';

/** A migration's class; its name ends with its time of creation, in ms. */
export type Migration = new () => MigrationInterface;

/** The migrations that the project ships with, oldest first. */
export const shipped: Migration[] = [
  Initial1764000000000,
  Idempotency1764100000000,
  Collations1764200000000,
  KeyRemovals1764300000000,
  CanonicalEmail1764400000000,
  CanonicalEmailIndex1764500000000,
  RecordCounts1764600000000,
  Jobs1764750000000,
  Changes1764760000000,
  Webhooks1764800000000,
  RecordKey1764900000000,
];
