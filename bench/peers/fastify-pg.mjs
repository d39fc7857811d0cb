// Fastify and pg with named statements, by hand: the yardstick of everything that asks the database.
import fastify from 'fastify';
import pg from 'pg';
import { addOrders } from './orders.mjs';
import { databaseUrl, pageOf, port, present, recordSchema, statements } from './shared.mjs';

const pool = new pg.Pool({ connectionString: databaseUrl, max: 10 });
const app = fastify();
const response = { 200: recordSchema, 201: recordSchema };

app.get('/records/:id', { schema: { response } }, async (request, reply) => {
  const { rows } = await pool.query({ ...statements.get, values: [request.params.id] });
  if (rows.length === 0) return reply.code(404).send();
  return present(rows[0]);
});

const page = pageOf(recordSchema);
const querystring = { type: 'object', properties: { to: { type: 'string' } }, required: ['to'] };

app.get('/collections/:id/records', { schema: { querystring, response: { 200: page } } }, async (request) => {
  const { rows } = await pool.query({ ...statements.list, values: [request.params.id, request.query.to] });
  const items = rows.slice(0, 20).map(present);
  const last = items.at(-1);
  return { items, nextCursor: rows.length > 20 ? `${last.occurredAt},${last.id}` : null };
});

const body = {
  type: 'object',
  properties: { data: { type: 'object' } },
  required: ['data'],
  additionalProperties: false,
};

app.post('/collections/:id/records', { schema: { body, response } }, async (request, reply) => {
  const { rows } = await pool.query({ ...statements.create, values: [request.params.id, request.body.data] });
  return reply.code(201).send(present(rows[0]));
});

addOrders(app, pool);

await app.listen({ port, host: '127.0.0.1' });
