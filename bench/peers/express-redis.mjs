// The way that guides teach, on Express: ask Redis, else PostgreSQL, and keep the answer for a minute.
import express from 'express';
import pg from 'pg';
import { createClient } from 'redis';
import { databaseUrl, port, present, redisUrl, statements } from './shared.mjs';

const pool = new pg.Pool({ connectionString: databaseUrl, max: 10 });
const redis = await createClient({ url: redisUrl }).connect();
const app = express();

app.get('/records/:id', async (request, response) => {
  const key = `express:${request.params.id}`;
  const cached = await redis.get(key);
  if (cached) return response.json(JSON.parse(cached));
  const { rows } = await pool.query(statements.get.text, [request.params.id]);
  if (rows.length === 0) return response.status(404).end();
  const record = present(rows[0]);
  await redis.setEx(key, 60, JSON.stringify(record));
  response.json(record);
});

app.listen(port, '127.0.0.1');
