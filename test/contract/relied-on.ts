/**
 * The parts of answers on which clients of today rely. The types of openapi.json must fit into these: to take a
 * field away, make one optional or change its type would break clients, and fails `npm run typecheck`.
 */
export interface User {
  id: string;
  email: string;
  name: string;
  role: 'user' | 'admin';
  disabled: boolean;
  version: number;
  createdAt: string;
  updatedAt: string;
}

export interface Tokens {
  accessToken: string;
  tokenType: 'Bearer';
  expiresIn: number;
  refreshToken: string;
}

export interface Keys {
  keys: { kid: string; alg: string; kty: string; crv: string; x: string; y?: string; use: 'sig' }[];
}

export interface Collection {
  name: string;
  visibility: 'private' | 'public';
  description: string | null;
  ownerId: string;
  version: number;
  createdAt: string;
  updatedAt: string;
}

export interface StoredRecord {
  id: string;
  data: { [key: string]: unknown };
  occurredAt: string;
  version: number;
  createdAt: string;
  updatedAt: string;
}

export interface Page<Item> {
  items: Item[];
  nextCursor: string | null;
}

export interface BulkReport {
  inserted: number;
  failed: number;
  errors: { line: number; pointer: string; detail: string }[];
}

export interface Stats {
  total: { count: number; isEstimate: boolean };
  bucket: string;
  buckets: { from: string; count: number }[];
  by: string | null;
  values: { value: unknown; count: number }[] | null;
}

export interface Health {
  status: 'ok' | 'degraded';
  checks: { [name: string]: { status: 'up' | 'down'; message?: string } };
}

export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  instance: string;
  requestId: string;
  errors?: { pointer: string; detail: string; line?: number }[];
}
