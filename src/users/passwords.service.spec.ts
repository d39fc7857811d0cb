import { loadConfig } from '../config.js';
import { Problem } from '../platform/http/problem.js';
import { PasswordsService } from './passwords.service.js';

const PHC = /^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/;

const turn = { of: 'login', by: 'the tests' } as const;
const service = (settings: Record<string, string> = {}) =>
  new PasswordsService(loadConfig({ APP_SECRET: 'a secret of the tests that is long enough', ...settings }));

const passwords = service();

it('makes a hash in PHC format, with a new salt each time', async () => {
  const [first, second] = await Promise.all([
    passwords.hash('same password', turn),
    passwords.hash('same password', turn),
  ]);
  expect(first).toMatch(PHC);
  expect(second).toMatch(PHC);
  expect(first).not.toBe(second);
});

it('verifies the right password, and no other', async () => {
  const hash = await passwords.hash('correct-horse-battery', turn);
  expect(await passwords.verify('correct-horse-battery', hash, turn)).toBe(true);
  for (const wrong of ['', 'Correct-horse-battery', 'correct-horse-battery ', 'correct-horse-batter', hash])
    expect([wrong, await passwords.verify(wrong, hash, turn)]).toEqual([wrong, false]);
});

it('verifies a hash of the reference argon2, with the parameters in the hash', async () => {
  // echo -n password | argon2 somesalt -id -v 13 -t 2 -m 16 -p 1 -l 32 (a vector of the reference implementation)
  const hash = '$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc';
  expect(await passwords.verify('password', hash, turn)).toBe(true);
  expect(await passwords.verify('differentpassword', hash, turn)).toBe(false);
});

it('hashes for an unknown user too, and never verifies', async () => {
  const hash = await passwords.hash('correct-horse-battery', turn);
  const timeOf = async (of: string | undefined) => {
    const start = performance.now();
    expect(await passwords.verify('not the password', of, turn)).toBe(false);
    return performance.now() - start;
  };
  expect(await timeOf(hash)).toBeGreaterThan(1);
  expect(await timeOf(undefined)).toBeGreaterThan(1);
});

it('refuses to guess at a hash that is not in PHC format', async () => {
  await expect(passwords.verify('x', '$2b$10$abcdefghijklmnopqrstuv', turn)).rejects.toThrow('PHC');
  await expect(passwords.verify('x', '', turn)).rejects.toThrow('PHC');
});

it('queues up to its limit, refuses one more with 503, and accepts again later', async () => {
  const small = service({ PASSWORD_HASH_CONCURRENCY: '1', PASSWORD_HASH_QUEUE: '2' });
  const taken = [small.hash('one', turn), small.hash('two', turn), small.hash('three', turn)];
  const refused = await Promise.all(
    [small.hash('four', turn), small.verify('five', undefined, turn)].map((work) =>
      work.catch((error: unknown) => error),
    ),
  );
  for (const problem of refused) {
    expect(problem).toBeInstanceOf(Problem);
    expect(problem).toMatchObject({ status: 503, type: 'temporary-reduced-capacity' });
    expect((problem as Problem).headers['retry-after']).toMatch(/^[1-9]\d*$/);
  }
  for (const hash of await Promise.all(taken)) expect(hash).toMatch(PHC);
  expect(await small.hash('six', turn)).toMatch(PHC);
});
