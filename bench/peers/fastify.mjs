// Bare Fastify with a schema and a constant answer: the yardstick of everything that could come from memory.
import fastify from 'fastify';
import { orderSchema } from './orders.mjs';
import { backlog, constant, port, recordSchema } from './shared.mjs';

const answer = JSON.parse(constant);
const app = fastify();

app.get('/records/:id', { schema: { response: { 200: recordSchema } } }, async () => answer);
app.get('/orders/:id', { schema: { response: { 200: orderSchema } } }, async () => answer);

await app.listen({ port, host: '127.0.0.1', backlog });
