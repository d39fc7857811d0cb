import type { Client } from '../support/client.js';
import { makeCollection, makeRecord, until } from '../support/collections.js';
import { pause } from '../support/process.js';
import { startReplicas } from '../support/replicas.js';

it.each([
  ['in neither tier', 'with CACHE_TTL_MS=0', '0', 0],
  ['in Redis too', 'otherwise', '60000', 1],
])(
  'what was read is kept %s %s',
  async (_where, _when, CACHE_TTL_MS, kept) => {
    const two = await startReplicas({ CACHE_TTL_MS });
    try {
      const owner = await two.user();
      const made = await makeRecord(owner, await makeCollection(owner));
      const inRedis = () => two.redis.command('EVAL', "return #redis.call('KEYS', '*record*')", '0');
      for (let read = 0; read < 3; read++) expect((await two.there.anyone.get(made.path)).status).toBe(200);
      await pause(200);
      // What was changed a moment ago is not put there on a word that is late.
      await until(async () => (await inRedis()) === String(kept));
    } finally {
      await two.close();
    }
  },
  60_000,
);

it('who may not read a record gets nothing of it, though it is asked for together with its collection', async () => {
  const two = await startReplicas({ CACHE_TTL_MS: '0' });
  try {
    const [owner, other] = [await two.user(), await two.user()];
    const { path } = await makeRecord(owner, await makeCollection(owner, 'private'));
    const none = path.replace(/\/data\/[^/]+/, '/data/none');
    const asked: [Client, string, number][] = [
      [two.here.anyone, path, 404],
      [other, path, 404],
      [owner, path, 200],
      [two.admin, path, 200],
      [owner, none, 404],
    ];
    // At the same time, so that they wait for the same read.
    for (let round = 0; round < 20; round++) {
      const found = await Promise.all(asked.map(([client, at]) => client.get(at)));
      expect(found.map(({ status }) => status)).toEqual(asked.map(([, , status]) => status));
    }
  } finally {
    await two.close();
  }
}, 60_000);
