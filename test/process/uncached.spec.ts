import type { Client } from '../support/client.js';
import { makeCollection, makeRecord } from '../support/collections.js';
import { pause } from '../support/process.js';
import { startReplicas, whileHeard } from '../support/replicas.js';

it.each([
  ['in neither tier', 'with CACHE_TTL_MS=0', '0', 0],
  ['in Redis too', 'otherwise', '60000', 1],
])(
  'reads are cached %s %s',
  async (_where, _when, CACHE_TTL_MS, kept) => {
    const two = await startReplicas({ CACHE_TTL_MS });
    try {
      const owner = await two.user();
      await whileHeard(two, async () => {
        const made = await makeRecord(owner, await makeCollection(owner));
        for (let read = 0; read < 3; read++) expect((await two.there.anyone.get(made.path)).status).toBe(200);
        await pause(200);
        expect(await two.redis.command('EVAL', "return #redis.call('KEYS', '*record*')", '0')).toBe(String(kept));
      });
    } finally {
      await two.close();
    }
  },
  60_000,
);

it('gives nothing of a record to a caller who may not read it, even when it is read together with its collection', async () => {
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
    // At the same time, so that they share one read.
    for (let round = 0; round < 20; round++) {
      const found = await Promise.all(asked.map(([client, at]) => client.get(at)));
      expect(found.map(({ status }) => status)).toEqual(asked.map(([, , status]) => status));
    }
  } finally {
    await two.close();
  }
}, 60_000);
