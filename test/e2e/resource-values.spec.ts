import {
  Column,
  CreateDateColumn,
  Entity,
  type MigrationInterface,
  PrimaryGeneratedColumn,
  type QueryRunner,
  VersionColumn,
} from 'typeorm';
import { z } from 'zod';
import { defineResource, resourceId } from '../../src/platform/resource/definition.js';
import { atLeast, equal } from '../../src/platform/resource/filters.js';
import { ownedBy } from '../../src/platform/resource/policy.js';
import { startApp, type TestApp } from '../support/app.js';
import type { Client } from '../support/client.js';
import { must } from '../support/collections.js';
import { declared } from '../support/declared.js';
import { expectProblem } from '../support/problem.js';

@Entity('notes')
class Note {
  @PrimaryGeneratedColumn('uuid') id!: string;
  @Column('uuid', { name: 'owner_id' }) ownerId!: string;
  @Column({ type: 'varchar', length: 5, nullable: true }) short!: string | null;
  @Column('numeric', { precision: 6, scale: 2, nullable: true }) price!: string | null;
  @Column('bigint', { nullable: true }) big!: string | null;
  @Column('jsonb') body!: unknown;
  @Column('text', { nullable: true }) mood!: string | null;
  @Column('text', { nullable: true }) left!: string | null;
  @Column('text', { nullable: true }) must!: string | null;
  @Column('text', { nullable: true }) secret!: string | null;
  @Column('boolean', { default: false }) done!: boolean;
  @Column({ type: 'timestamptz', precision: 3, nullable: true }) at!: Date | null;
  @VersionColumn() version!: number;
  @CreateDateColumn({ name: 'created_at', type: 'timestamptz', precision: 3 }) createdAt!: Date;
}

class Notes1800000000002 implements MigrationInterface {
  name = 'Notes1800000000002';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE notes (
        id uuid PRIMARY KEY, owner_id uuid NOT NULL, short varchar(5), price numeric(6, 2), big bigint, body jsonb NOT NULL,
        mood text CONSTRAINT notes_mood CHECK (mood <> 'sour'), "left" text, must text, secret text,
        done boolean NOT NULL DEFAULT false, at timestamptz(3), version int NOT NULL, created_at timestamptz(3) NOT NULL);
      CREATE INDEX ON notes (created_at, id);
      CREATE INDEX ON notes (owner_id, created_at, id)`);
  }

  async down(): Promise<void> {}
}

const input = z
  .strictObject({
    short: z.string().nullable().default(null),
    price: z.number().nullable().default(null),
    big: z.number().nullable().default(null),
    body: z.unknown(),
    mood: z.string().nullable().default('glad'),
    left: z.string().optional(),
    must: z.string().nullable(),
    secret: z.string().optional(),
    done: z.boolean().optional(),
    at: z.iso.datetime({ offset: true }).nullable().default(null),
  })
  .meta({ id: 'NoteInput' });
const { secret: _, ...seen } = input.shape;

const notes = defineResource(Note, {
  name: 'note',
  path: '/api/v1/notes',
  shown: z
    .object({
      id: resourceId,
      ...seen,
      left: z.string().nullable(),
      done: z.boolean(),
      version: z.int(),
      createdAt: z.iso.datetime(),
    })
    .meta({ id: 'Note' }),
  input,
  policy: ownedBy<Note>('ownerId'),
  sorts: ['createdAt'],
  filters: { price: equal('price'), since: atLeast('at'), done: equal('done') },
  conflicts: { notes_mood: 'No note is sour.' },
});

let app: TestApp;
let ada: Client;
beforeAll(async () => {
  app = await startApp({}, { modules: [declared(notes)], migrations: [Notes1800000000002] });
  ada = await app.user('ada');
});
afterAll(() => app?.close());

const make = (more: object = {}) => ada.post(notes.path, { body: 1, must: null, ...more });
const tag = (response: { headers: Headers }) => ({ 'if-match': response.headers.get('etag') as string });

it.each([
  ['a text that is longer than its column', { short: 'abcdef' }],
  ['a number that is greater than its column takes', { price: 1e9 }],
  ['a fraction for a whole number', { big: 1.5 }],
  ['null for a column that may not be null', { body: null }],
  ['a time before the year 1', { at: '0000-06-01T00:00:00Z' }],
  ['a time before the year 1 in UTC', { at: '0001-01-01T00:00:00+01:00' }],
  ['a time after the year 9999 in UTC', { at: '9999-12-31T23:59:59-01:00' }],
])('answers 400 to %s in a new row and in a change, and still makes the other rows of the batch', async (_, flaw) => {
  const [bad, good] = await Promise.all([make(flaw), make()]);
  expectProblem(bad, 'invalid-request');
  const made = must(201, good);
  const path = made.headers.get('location') as string;
  expectProblem(await ada.put(path, { body: 1, must: null, ...flaw }, tag(made)), 'invalid-request');
  expectProblem(await ada.patch(path, flaw, tag(made)), 'invalid-request');
  expect(must(200, await ada.get(path)).text).toBe(made.text);
});

it.each(['price=abc', 'since=abc', 'since=0000-01-01T00:00:00Z', 'done=maybe'])(
  'answers 400 to the filter %s',
  async (query) => {
    expectProblem(await ada.get(`${notes.path}?${query}`), 'invalid-request');
  },
);

it('ends a page at 1 MiB, also when rows are larger than usual', async () => {
  const bob = await app.user('bob');
  for (let n = 0; n < 5; n++) must(201, await bob.post(notes.path, { body: 'x'.repeat(900_000), must: `${n}` }));
  const found: string[] = [];
  let next: string | undefined = notes.path;
  while (next !== undefined) {
    const page = must(200, await bob.get(next));
    expect(page.body.items).toHaveLength(1);
    found.push(page.body.items[0].must);
    next = /^<([^>]+)>/.exec(page.headers.get('link') ?? '')?.[1];
  }
  expect(found).toEqual(['4', '3', '2', '1', '0']);
});

it("distinguishes null from the string 'null' under an Idempotency-Key", async () => {
  const key = { 'idempotency-key': 'a key' };
  must(201, await ada.post(notes.path, { body: 1, must: null }, key));
  expectProblem(await ada.post(notes.path, { body: 1, must: 'null' }, key), 'idempotency-key-reused');
});

it('reports a violated check in the words of its declaration', async () => {
  const refused = await make({ mood: 'sour' });
  expectProblem(refused, 'conflict');
  expect(refused.body.detail).toBe('No note is sour.');
});

it('shows nullable numbers, JSON strings, and times cut to milliseconds', async () => {
  const values = { price: 12.5, big: 9007199254740991, body: 'null', short: 'äöüß🦀' };
  expect(must(201, await make({ ...values, at: '2020-01-01T00:00:00.9999+00:00' })).body).toMatchObject({
    ...values,
    at: '2020-01-01T00:00:00.999Z',
  });
});

it('leaves columns that a patch does not name as they are, including null and hidden ones', async () => {
  const made = must(201, await make({ mood: null, left: 'there', secret: 'kept', done: true }));
  const path = made.headers.get('location') as string;
  const patched = must(200, await ada.patch(path, { short: 'new' }, tag(made)));
  expect(patched.body).toEqual({ ...made.body, short: 'new', version: 2 });
  const emptied = must(200, await ada.patch(path, { left: null, must: null, done: null }, tag(patched)));
  expect(emptied.body).toEqual({ ...patched.body, left: null, done: false, version: 3 });
  const secrets = await app.database.query('SELECT secret FROM notes WHERE id = $1', [made.body.id]);
  expect(secrets).toEqual([{ secret: 'kept' }]);
});

it('gives columns that a replacement leaves out the values of a new row', async () => {
  const made = must(201, await make({ left: 'there', short: 'short', mood: 'bad', done: true, price: 1 }));
  const put = must(200, await ada.put(made.headers.get('location') as string, { body: 1, must: null }, tag(made)));
  const fresh = must(201, await make());
  const { id, createdAt } = made.body;
  expect(put.body).toEqual({ ...fresh.body, id, createdAt, version: 2 });
});
