import fc from 'fast-check';
import { fold } from '../../src/users/fold.js';
import { startApp, type TestApp } from '../support/app.js';
import type { Response } from '../support/client.js';
import { makeCollection, must } from '../support/collections.js';

const LOGIN_LIMIT = 50;

let app: TestApp;
beforeAll(async () => {
  app = await startApp({ AUTH_LIMIT_WINDOW_S: '86400', LOGIN_LIMIT: String(LOGIN_LIMIT) });
});
afterAll(() => app?.close());

let users = 0;
const newEmail = () => `form${++users}@example.com`;
const register = (change: object) =>
  app.client.post('/api/v1/auth/register', {
    email: newEmail(),
    password: 'a-password-of-theirs',
    name: 'F',
    ...change,
  });
const login = (email: string, password: string) => app.client.post('/api/v1/auth/login', { email, password });
const mistakes = ({ status, body }: Response) => [
  status,
  body.errors?.map(({ pointer, detail }: { pointer: string; detail: string }) => `${pointer} ${detail}`),
];
const COMMON = [400, ['/password is among the most common passwords']];
const SHORT = [400, ['/password must have 8 characters or more']];
const LONG = [400, ['/password must have 128 characters or fewer']];

describe('a password', () => {
  it.each([
    'ｐａｓｓｗｏｒｄ１２３',
    '𝐩𝐚𝐬𝐬𝐰𝐨𝐫𝐝𝟏𝟐𝟑',
    'ⓟⓐⓢⓢⓦⓞⓡⓓ①②③',
    'paſſword¹²³',
    'pässwörd123',
    'pa\u0308ssword123',
    'QWERTYUİOP',
  ])('is refused as common when it is spelt %s', async (password) => {
    expect(mistakes(await register({ password }))).toEqual(COMMON);
    const user = await app.user();
    const change = { password, currentPassword: 'x' };
    const answer = await user.patch(`/api/v1/users/${user.userId}`, change, { 'if-match': '*' });
    expect(mistakes(answer)).toEqual(COMMON);
  });

  it.each(['éèêë', 'ệỗặứ', '각난닫랄'])(
    'of four letters is too short when it is decomposed, too: %s',
    async (letters) => {
      const password = letters.normalize('NFD');
      expect([...password].length).toBeGreaterThanOrEqual(8);
      expect(mistakes(await register({ password }))).toEqual(SHORT);
      expect(mistakes(await register({ password: letters.normalize('NFC') }))).toEqual(SHORT);
    },
  );

  // Letters of one to four characters when decomposed, and some of two UTF-16 units.
  it.each(['x', 'é', '각', '\u1f82', '\u{16126}', '密', '\u{1f600}'])(
    'of 128 characters (%s) is the same when it is decomposed, and one more is too long',
    async (letter) => {
      const email = newEmail();
      const password = letter.repeat(128);
      must(201, await register({ email, password }));
      for (const form of ['NFC', 'NFD', 'NFKC', 'NFKD']) must(200, await login(email, password.normalize(form)));
      must(401, await login(email, letter.repeat(127)));
      const user = await app.client.signIn(email, password.normalize('NFD'));
      const change = { currentPassword: password.normalize('NFD'), password: 'another-of-theirs' };
      must(200, await user.patch(`/api/v1/users/${user.userId}`, change, { 'if-match': '*' }));
      for (const form of ['NFC', 'NFD']) {
        const longer = letter.repeat(129).normalize(form);
        expect(mistakes(await register({ password: longer }))).toEqual(LONG);
        expect(mistakes(await login(email, longer))).toEqual(LONG);
      }
    },
  );

  it('is counted in its normalised form, in which one character may become many', async () => {
    const email = newEmail();
    // One character that is 18 in NFKC.
    must(201, await register({ email, password: '\ufdfa' }));
    must(200, await login(email, '\ufdfa'.normalize('NFKC')));
    expect(mistakes(await register({ password: '\ufdfa'.repeat(8) }))).toEqual(LONG);
  });
});

describe('a name', () => {
  it('is stored in one form, whose characters are counted', async () => {
    const name = '\u{1f600}é'.repeat(50);
    expect(must(201, await register({ name: ` ${name.normalize('NFD')}\t` })).body.name).toBe(name);
    const short = must(201, await register({ name: 'a\u0323\u0302' }));
    expect(short.body.name).toBe('\u1ead');
    const long = await register({ name: `${name.normalize('NFD')}x` });
    expect(mistakes(long)).toEqual([400, ['/name must have 100 characters or fewer']]);
  });
});

/** For each ASCII character, all the characters that fold to it. */
const spellings = new Map<string, string[]>();
for (let code = 0; code <= 0x10ffff; code++) {
  const character = String.fromCodePoint(code);
  const folded = fold(character);
  if (/^[!-~]$/.test(folded)) spellings.set(folded, [...(spellings.get(folded) ?? []), character]);
}
const spellingOf = (text: string) =>
  fc
    .tuple(...[...text].map((letter) => fc.constantFrom(...(spellings.get(letter) as string[]))))
    .map((letters) => letters.join(''));

const leftOf = (answer: Response) => Number(/"login";r=(\d+)/.exec(answer.headers.get('ratelimit') ?? '')?.[1]);

describe('an address', () => {
  it('shares one limit with all its spellings, each of which signs the user in', async () => {
    const email = 'idil+k@example.com';
    const password = 'a-password-of-theirs';
    must(201, await register({ email: 'IDIL+k@example.com', password }));
    const known = [
      'İdİl+k@example.com',
      'İDİL+K@EXAMPLE.COM'.normalize('NFD'),
      'ıdıl+\u212a@example.com',
      'ｉｄｉｌ+k@example.com',
    ];
    const texts = [...known, ...fc.sample(spellingOf(email), 20)];
    expect(new Set(texts).size).toBe(texts.length);
    for (const [tries, text] of texts.entries()) {
      const answer = await login(text, password);
      expect([text, answer.status, leftOf(answer)]).toEqual([text, 200, LOGIN_LIMIT - tries - 1]);
    }
    while (leftOf(await login(email, 'wrong')) > 0);
    for (const text of [email, ...texts]) expect([text, (await login(text, password)).status]).toEqual([text, 429]);
    must(401, await login('idil@example.com', password));
  });

  it('is found by admins in any spelling, with a cursor that is valid for all of them', async () => {
    for (const email of ['Kiki.1@example.com', 'kIkI.2@example.com']) must(201, await register({ email }));
    const list = (email: string, rest = '') =>
      app.admin.get(`/api/v1/users?limit=1&email=${encodeURIComponent(email)}${rest}`);
    const first = must(200, await list('KİKİ.')).body;
    expect(first.items).toMatchObject([{ email: 'kIkI.2@example.com' }]);
    const second = must(200, await list('ｋｉｋｉ.', `&cursor=${first.nextCursor}`)).body;
    expect(second).toMatchObject({ items: [{ email: 'Kiki.1@example.com' }], nextCursor: null });
  });

  it('is taken in any case of its letters, and is stored with its canonical form', async () => {
    must(201, await register({ email: 'Taken.Once@Example.com' }));
    for (const email of ['taken.once@example.com', 'TAKEN.ONCE@EXAMPLE.COM']) must(409, await register({ email }));
    const rows = await app.database.query(`SELECT email, canonical_email FROM users WHERE email ILIKE 'taken%'`);
    expect(rows).toEqual([{ email: 'Taken.Once@Example.com', canonical_email: 'taken.once@example.com' }]);
  });
});

it('keeps data in the form in which it was sent, and counts it in characters', async () => {
  const set = await makeCollection(app.admin);
  const put = (description: string) =>
    app.admin.put(set.path, { visibility: 'public', description }, { 'if-match': '*' });
  for (const description of ['e\u0301'.repeat(500), '\u{1f600}'.repeat(1000)])
    expect(must(200, await put(description)).body.description).toBe(description);
  must(400, await put('\u{1f600}'.repeat(1001)));
  const by = (field: string) => app.client.get(`${set.path}/stats?by=${encodeURIComponent(field)}`);
  expect(must(200, await by('\u{1f600}'.repeat(256))).body.by).toBe('\u{1f600}'.repeat(256));
  must(400, await by('\u{1f600}'.repeat(257)));
});
