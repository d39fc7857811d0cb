import { must } from '../support/answers.js';
import { Client } from '../support/client.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { endPrograms, productionSettings, startMain } from '../support/process.js';
import { inMs, quantile, row } from '../support/row.js';

const TRIES = 300;

let database: TestDatabase;
let client: Client;
beforeAll(async () => {
  database = await createDatabase();
  client = new Client(await startMain(productionSettings(database.url)).url());
}, 60_000);
afterAll(async () => {
  await endPrograms();
  await database?.drop();
});

/** The time of a failed sign-in in ms, and its answer without anything about the user. */
async function fail(email: string): Promise<{ ms: number; said: string }> {
  const begun = performance.now();
  const { status, headers, body } = await client.post('/api/v1/auth/login', { email, password: 'not-their-password' });
  const ms = performance.now() - begun;
  const names = [...headers.keys()].sort();
  return { ms, said: JSON.stringify([status, names, headers.get('content-length'), { ...body, requestId: '' }]) };
}

row(
  37,
  '',
  async () => {
    const email = (who: string, i: number) => `${who}${i % 10}@example.com`;
    for (let i = 0; i < 10; i++) {
      const user = { email: email('known', i), password: 'the-password-of-the-known', name: 'K' };
      must(201, await client.post('/api/v1/auth/register', user));
    }
    const times: Record<'known' | 'absent', number[]> = { known: [], absent: [] };
    const said = new Set<string>();
    // The first ones warm up the code.
    for (let i = -20; i < TRIES; i++) {
      // Both alternate, and so does their order, so that other load on the machine affects both.
      const pair = i % 2 === 0 ? (['known', 'absent'] as const) : (['absent', 'known'] as const);
      for (const who of pair) {
        const found = await fail(email(who, Math.abs(i)));
        if (i >= 0) times[who].push(found.ms);
        said.add(found.said);
      }
    }
    expect([...said]).toHaveLength(1);
    const [known, absent] = [quantile(times.known, 0.5), quantile(times.absent, 0.5)];
    // Without hashing, unknown users would be answered ten times as fast.
    expect(absent / known).toBeGreaterThan(0.7);
    expect(absent / known).toBeLessThan(1.4);
    return {
      'sign-ins of each': TRIES,
      'median of a known user': inMs(known),
      'of an unknown one': inMs(absent),
      'apart by': `${((absent / known - 1) * 100).toFixed(1)} %`,
    };
  },
  120_000,
);
