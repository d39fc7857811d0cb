// Bare Fastify with a schema and a constant answer: the yardstick of everything that could come from memory.
import fastify from 'fastify';
import { backlog, constant, port, recordSchema } from './shared.mjs';

const record = JSON.parse(constant);
const app = fastify();

app.get('/records/:id', { schema: { response: { 200: recordSchema } } }, async () => record);

await app.listen({ port, host: '127.0.0.1', backlog });
