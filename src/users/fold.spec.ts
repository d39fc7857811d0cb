import fc from 'fast-check';
import { emailIn } from '../auth/auth.schema.js';
import { emailPrefix, givenEmail } from './email.schema.js';
import { fold } from './fold.js';

const text = fc.string({ unit: 'binary', maxLength: 30 });

it('agrees with PostgreSQL for ASCII', () => {
  const lower = (ascii: string) => ascii.replace(/[A-Z]/g, (letter) => String.fromCharCode(letter.charCodeAt(0) + 32));
  fc.assert(fc.property(fc.string({ unit: 'binary-ascii' }), (ascii) => expect(fold(ascii)).toBe(lower(ascii))));
});

it('maps all Unicode forms of a text to the same one', () => {
  const form = fc.constantFrom('NFC', 'NFD', 'NFKC', 'NFKD');
  fc.assert(
    fc.property(text, form, (value, sent) => expect(fold(value.normalize(sent))).toBe(fold(value))),
    { numRuns: 5000 },
  );
});

it.each(['ida', 'IDA', 'İDA', 'İda'.normalize('NFD'), 'ıda', 'i\u0307da', 'ＩＤＡ', 'ídä'])('maps %s to ida', (one) => {
  expect(fold(one)).toBe('ida');
});

it('is used both to count sign-ins and to look users up, whatever is sent as the email', () => {
  const given = fc.oneof(text, fc.string({ unit: 'grapheme', maxLength: 300 }), fc.anything());
  fc.assert(
    fc.property(given, (email) => {
      const { data } = givenEmail.safeParse(email);
      expect(emailIn({ email })).toBe(data ?? '');
      if (typeof email === 'string' && data !== undefined)
        expect([data, emailPrefix.parse(email)]).toEqual([fold(email), data]);
    }),
    { numRuns: 2000 },
  );
  for (const body of [undefined, null, [], 'text', 1, {}]) expect(emailIn(body)).toBe('');
});
