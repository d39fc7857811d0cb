// What the peers are told by the runner, and the one record that all of them answer.
export const port = Number(process.env.PORT);
/** Room for a crowd that connects at once: else p99 would show how long the kernel waits to try again. */
export const backlog = 65_535;
export const databaseUrl = process.env.DATABASE_URL;
export const redisUrl = process.env.REDIS_URL;
/** The record of those who always answer the same, as text. */
export const constant = process.env.CONSTANT;

/** A row as the API shows it. */
export const present = (row) => ({
  id: row.id,
  data: row.data,
  occurredAt: row.occurred_at.toISOString(),
  version: row.version,
  createdAt: row.created_at.toISOString(),
  updatedAt: row.updated_at.toISOString(),
});

const text = { type: 'string' };

/** Fastify's schema of it, by which the fast serializer is made. */
export const recordSchema = {
  type: 'object',
  properties: {
    id: text,
    data: { type: 'object', additionalProperties: true },
    occurredAt: text,
    version: { type: 'integer' },
    createdAt: text,
    updatedAt: text,
  },
};

/** Fastify's schema of a page of 20. */
export const pageOf = (items) => ({
  type: 'object',
  properties: { items: { type: 'array', items }, nextCursor: { type: 'string', nullable: true } },
});

const columns = 'id, data, occurred_at, version, created_at, updated_at';

/** What a good engineer would write by hand, prepared by name. */
export const statements = {
  get: { name: 'get', text: `SELECT ${columns} FROM records WHERE id = $1` },
  list: {
    name: 'list',
    text: `SELECT ${columns} FROM records WHERE collection_id = $1 AND occurred_at < $2
           ORDER BY occurred_at DESC, id DESC LIMIT 21`,
  },
  create: {
    name: 'create',
    text: `INSERT INTO records (collection_id, data) VALUES ($1, $2) RETURNING ${columns}`,
  },
};
