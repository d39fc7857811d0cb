import { setTimeout as sleep } from 'node:timers/promises';
import type { ResourceDefinition } from '../../src/platform/resource/definition.js';
import { ownedBy } from '../../src/platform/resource/policy.js';
import { SampleOrders1800000000000 } from '../sample-orders/1800000000000-sample-orders.js';
import { SampleOrder } from '../sample-orders/sample-order.entity.js';
import { sampleOrders } from '../sample-orders/sample-order.schema.js';
import { startApp, type TestApp } from '../support/app.js';
import { must } from '../support/collections.js';
import { declared } from '../support/declared.js';
import { TestRedis } from '../support/redis.js';

const PATH = sampleOrders.path;
const input = { number: 'A-1', total: '12.50', lines: [{ article: 'pen', count: 5 }] };
const tag = (response: { headers: Headers }) => ({ 'if-match': response.headers.get('etag') as string });
const migrations = [SampleOrders1800000000000];

async function within(
  modules: ReturnType<typeof declared>[],
  settings: Record<string, string>,
  work: (app: TestApp) => Promise<void>,
): Promise<void> {
  const app = await startApp(settings, { modules, migrations });
  try {
    await work(app);
  } finally {
    await app.close();
  }
}

it.each([
  [401, 'a token', false],
  [200, 'none', true],
])(
  'answers %i to a caller without a token when reading needs %s, even for a cached row that anyone may read',
  async (status, _, isOpen) => {
    const open: ResourceDefinition<SampleOrder> = {
      ...sampleOrders,
      policy: ownedBy<SampleOrder>('ownerId', 'anyone'),
    };
    await within([declared(open, undefined, isOpen)], {}, async (app) => {
      const ada = await app.user('ada');
      const path = must(201, await ada.post(PATH, input)).headers.get('location') as string;
      for (let time = 0; time < 2; time++) must(200, await ada.get(path));
      must(200, await (await app.user('bob')).get(path));
      must(status, await app.client.get(path));
    });
  },
);

it('leaves the shared cache, too, when its owner is deleted', async () => {
  const redis = await TestRedis.start();
  try {
    await within([declared(sampleOrders)], { REDIS_URL: redis.url }, async (app) => {
      // Nothing is cached for all replicas before each of them hears the others.
      await sleep(1000);
      const dave = await app.user('dave');
      const path = must(201, await dave.post(PATH, input)).headers.get('location') as string;
      must(200, await app.admin.get(path));
      await sleep(100);
      const user = must(200, await app.admin.get(`/api/v1/users/${dave.userId}`));
      must(204, await app.admin.delete(`/api/v1/users/${dave.userId}`, tag(user)));
      must(404, await app.admin.get(path));
    });
  } finally {
    await redis.kill();
  }
});

it('answers with the row to a caller who makes, changes or hands it over, though they may not read it afterwards', async () => {
  const handed = declared(sampleOrders, (_, made) => ({ ...made, ownerId: bobId }));
  let bobId = '';
  await within([handed], {}, async (app) => {
    const [ada, bob] = [await app.user('ada'), await app.user('bob')];
    bobId = bob.userId as string;
    const key = { 'idempotency-key': 'one for Bob' };
    const made = must(201, await ada.post(PATH, input, key));
    expect(must(201, await ada.post(PATH, input, key)).body).toEqual(made.body);
    const path = made.headers.get('location') as string;
    must(200, await bob.get(path));
    must(404, await ada.get(path));
  });
});
