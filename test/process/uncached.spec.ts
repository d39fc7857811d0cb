import { makeCollection, makeRecord } from '../support/collections.js';
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
      for (let read = 0; read < 3; read++) expect((await two.there.anyone.get(made.path)).status).toBe(200);
      await pause(200);
      expect(await two.redis.command('EVAL', "return #redis.call('KEYS', '*record*')", '0')).toBe(String(kept));
    } finally {
      await two.close();
    }
  },
  60_000,
);
