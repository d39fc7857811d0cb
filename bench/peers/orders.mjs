// Orders (test/sample-orders) as one would write them by hand: the same table, the same checks, the same JSON.
import { pageOf } from './shared.mjs';

const text = { type: 'string' };
const nullableText = { type: 'string', nullable: true };
/** In the order in which jsonb keeps members: shorter names first. */
const line = { type: 'object', properties: { count: { type: 'integer' }, article: text } };

/** Fastify's schema of what is shown, by which the fast serializer is made. */
export const orderSchema = {
  type: 'object',
  properties: {
    id: text,
    ownerId: text,
    number: text,
    status: text,
    total: text,
    lines: { type: 'array', items: line },
    note: nullableText,
    deliveryAt: nullableText,
    version: { type: 'integer' },
    createdAt: text,
    updatedAt: text,
  },
};

/** What is sent to make one. */
const orderInput = {
  type: 'object',
  properties: {
    number: { type: 'string', pattern: '^[A-Z0-9-]{1,30}$' },
    status: { type: 'string', enum: ['open', 'paid', 'sent', 'cancelled'], default: 'open' },
    total: { type: 'string', pattern: '^\\d{1,10}\\.\\d\\d$' },
    lines: {
      type: 'array',
      minItems: 1,
      maxItems: 100,
      items: {
        type: 'object',
        properties: {
          article: { type: 'string', minLength: 1, maxLength: 100 },
          count: { type: 'integer', minimum: 1, maximum: 1000 },
        },
        required: ['article', 'count'],
        additionalProperties: false,
      },
    },
    note: { type: 'string', maxLength: 1000, nullable: true, default: null },
    deliveryAt: { type: 'string', format: 'date-time', nullable: true, default: null },
  },
  required: ['number', 'total', 'lines'],
  additionalProperties: false,
};

const columns = 'id, owner_id, number, status, total, lines, note, delivery_at, version, created_at, updated_at';

/** Prepared by name. */
const statements = {
  get: { name: 'order', text: `SELECT ${columns} FROM sample_orders WHERE id = $1` },
  list: {
    name: 'orders',
    text: `SELECT ${columns} FROM sample_orders WHERE owner_id = $1 AND (created_at, id) < ($2, $3)
           ORDER BY created_at DESC, id DESC LIMIT 21`,
  },
  create: {
    name: 'create_order',
    text: `INSERT INTO sample_orders (owner_id, number, status, total, lines, note, delivery_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING ${columns}`,
  },
};

/** A row as the API shows it. */
const present = (row) => ({
  id: row.id,
  ownerId: row.owner_id,
  number: row.number,
  status: row.status,
  total: row.total,
  lines: row.lines,
  note: row.note,
  deliveryAt: row.delivery_at?.toISOString() ?? null,
  version: row.version,
  createdAt: row.created_at.toISOString(),
  updatedAt: row.updated_at.toISOString(),
});

/** The routes of orders in a Fastify with a pool of pg. */
export function addOrders(app, pool) {
  const response = { 200: orderSchema, 201: orderSchema };

  app.get('/orders/:id', { schema: { response } }, async (request, reply) => {
    const { rows } = await pool.query({ ...statements.get, values: [request.params.id] });
    if (rows.length === 0) return reply.code(404).send();
    return present(rows[0]);
  });

  const querystring = { type: 'object', properties: { at: text, id: text }, required: ['at', 'id'] };
  const page = { schema: { querystring, response: { 200: pageOf(orderSchema) } } };
  app.get('/owners/:owner/orders', page, async ({ params, query }) => {
    const { rows } = await pool.query({ ...statements.list, values: [params.owner, query.at, query.id] });
    const items = rows.slice(0, 20).map(present);
    const last = items.at(-1);
    return { items, nextCursor: rows.length > 20 ? `${last.createdAt},${last.id}` : null };
  });

  app.post('/owners/:owner/orders', { schema: { body: orderInput, response } }, async (request, reply) => {
    const { number, status, total, lines, note, deliveryAt } = request.body;
    const values = [request.params.owner, number, status, total, JSON.stringify(lines), note, deliveryAt];
    const { rows } = await pool.query({ ...statements.create, values });
    return reply.code(201).send(present(rows[0]));
  });
}
