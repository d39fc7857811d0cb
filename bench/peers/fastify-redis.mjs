// The way that guides teach, on Fastify: ask Redis, else PostgreSQL, and keep the answer for a minute.
import fastify from 'fastify';
import pg from 'pg';
import { createClient } from 'redis';
import { databaseUrl, port, present, redisUrl, statements } from './shared.mjs';

const pool = new pg.Pool({ connectionString: databaseUrl, max: 10 });
const redis = await createClient({ url: redisUrl }).connect();
const app = fastify();

app.get('/records/:id', async (request, reply) => {
  const key = `fastify:${request.params.id}`;
  const cached = await redis.get(key);
  if (cached) return JSON.parse(cached);
  const { rows } = await pool.query(statements.get.text, [request.params.id]);
  if (rows.length === 0) return reply.code(404).send();
  const record = present(rows[0]);
  await redis.setEx(key, 60, JSON.stringify(record));
  return record;
});

await app.listen({ port, host: '127.0.0.1' });
