// The least that a service on this stack loads before its first answer: Fastify, pg and TypeORM. For the start alone.
import fastify from 'fastify';
import { DataSource, EntitySchema } from 'typeorm';
import { databaseUrl, port, present, recordSchema } from './shared.mjs';

const records = new EntitySchema({
  name: 'records',
  columns: {
    id: { type: 'uuid', primary: true },
    data: { type: 'jsonb' },
    occurred_at: { type: 'timestamptz' },
    version: { type: 'integer' },
    created_at: { type: 'timestamptz' },
    updated_at: { type: 'timestamptz' },
  },
});

const source = await new DataSource({ type: 'postgres', url: databaseUrl, entities: [records] }).initialize();
const repository = source.getRepository(records);
const app = fastify();

app.get('/records/:id', { schema: { response: { 200: recordSchema } } }, async (request, reply) => {
  const row = await repository.findOneBy({ id: request.params.id });
  return row ? present(row) : reply.code(404).send();
});

await app.listen({ port, host: '127.0.0.1' });
