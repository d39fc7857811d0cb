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
import { atLeast } from '../../src/platform/resource/filters.js';
import { ownedBy } from '../../src/platform/resource/policy.js';
import { startApp, type TestApp } from '../support/app.js';
import type { Client } from '../support/client.js';
import { must } from '../support/collections.js';
import { declared } from '../support/declared.js';

/** Names that PostgreSQL reserves, names that TypeORM gives by default, and names that our statements could use themselves. */
@Entity('user_group_of_a_table_with_a_name_as_long_as_some_are')
class Odd {
  @PrimaryGeneratedColumn('uuid') id!: string;
  @Column('uuid') user!: string;
  @Column('text') order!: string;
  @Column('text') key!: string;
  @Column('text') json!: string;
  @Column('text') fingerprint!: string;
  @Column('int') n!: number;
  @Column('int') place!: number;
  @Column('int') count!: number;
  @Column('int') before!: number;
  @Column('boolean') isDone!: boolean;
  @VersionColumn() version!: number;
  @CreateDateColumn({ type: 'timestamptz', precision: 3 }) createdAt!: Date;
}

class Odds1800000000001 implements MigrationInterface {
  name = 'Odds1800000000001';

  async up(runner: QueryRunner): Promise<void> {
    const sorts = ['"createdAt"', 'count', '"isDone"', '"order"'];
    await runner.query(`
      CREATE TABLE user_group_of_a_table_with_a_name_as_long_as_some_are (
        id uuid PRIMARY KEY, "user" uuid NOT NULL, "order" text NOT NULL, key text NOT NULL, json text NOT NULL,
        fingerprint text NOT NULL, n int NOT NULL, place int NOT NULL, count int NOT NULL, before int NOT NULL,
        "isDone" boolean NOT NULL, version int NOT NULL, "createdAt" timestamptz(3) NOT NULL);
      ${['', '"user", '].flatMap((first) => sorts.map((sort) => `CREATE INDEX ON user_group_of_a_table_with_a_name_as_long_as_some_are (${first}${sort}, id);`)).join('\n')}`);
  }

  async down(): Promise<void> {}
}

const oddInput = z
  .strictObject({
    order: z.string(),
    key: z.string(),
    json: z.string(),
    fingerprint: z.string(),
    n: z.int(),
    place: z.int(),
    count: z.int(),
    before: z.int(),
    isDone: z.boolean(),
  })
  .meta({ id: 'OddInput' });

const odds = defineResource(Odd, {
  name: 'odd',
  path: '/api/v1/odds',
  shown: z
    .object({
      id: resourceId,
      user: z.uuid(),
      ...oddInput.shape,
      version: z.int(),
      createdAt: z.iso.datetime(),
    })
    .meta({ id: 'Odd' }),
  input: oddInput,
  policy: ownedBy<Odd>('user'),
  sorts: ['createdAt', 'count', 'isDone', 'order'],
  filters: { after: atLeast('createdAt', z.iso.datetime()) },
});

const ROWS = 120;
const input = (n: number) => ({
  order: `o${n % 7}`,
  key: `k${n}`,
  json: 'null',
  fingerprint: '',
  n,
  place: n,
  count: n % 5,
  before: 3_000_000,
  isDone: n % 2 === 0,
});

let app: TestApp;
let ada: Client;
beforeAll(async () => {
  const module = declared(odds, ({ id: user }, values) => ({ ...values, user }));
  app = await startApp({}, { modules: [module], migrations: [Odds1800000000001] });
  ada = await app.user('ada');
});
afterAll(() => app?.close());

it('accepts any column names and a long table name', async () => {
  const key = { 'idempotency-key': 'a key' };
  const made = must(201, await ada.post(odds.path, input(0), key));
  expect(made.body).toMatchObject({ ...input(0), user: ada.userId, version: 1 });
  expect(must(201, await ada.post(odds.path, input(0), key)).text).toBe(made.text);
  const path = made.headers.get('location') as string;
  expect(must(200, await ada.get(path)).text).toBe(made.text);
  const tag = { 'if-match': made.headers.get('etag') as string };
  const changed = must(200, await ada.patch(path, { order: 'o1' }, tag));
  must(204, await ada.delete(path, { 'if-match': changed.headers.get('etag') as string }));
});

it.each(odds.sorts.flatMap((sort) => [sort, `-${sort}`]))('lists by %s, in pages of every size', async (sort) => {
  const { items } = must(200, await ada.get(`${odds.path}?limit=100`)).body;
  const missing = ROWS - items.length;
  for (let n = 0; n < missing && items.length === 0; n++) must(201, await ada.post(odds.path, input(n)));
  const after = '&after=2020-01-01T00:00:00Z';
  for (const query of ['', after, '&limit=100', `&limit=100${after}`, '&limit=7']) {
    const found: Odd[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const page: { items: Odd[]; nextCursor: string | null } = must(
        200,
        await ada.get(`${odds.path}?sort=${sort}${query}${cursor && `&cursor=${cursor}`}`),
      ).body;
      found.push(...page.items);
      cursor = page.nextCursor;
    }
    expect(found.map(({ n }) => n).sort((a, b) => a - b)).toEqual(Array.from({ length: ROWS }, (_, n) => n));
    const by = found.map((one) => one[sort.replace('-', '') as keyof Odd]);
    const sorted = by.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0));
    expect(by).toEqual(sort.startsWith('-') ? sorted.reverse() : sorted);
  }
});
