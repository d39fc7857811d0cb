import { normalized } from '../platform/normalized.js';
import { isCommonPassword } from './common-passwords.js';

const LONGEST = 128;

/** What is given for a password that is there: in NFKC, of which hashes are made, however it was typed. */
export const givenPassword = normalized('NFKC', 1, LONGEST).meta({ format: 'password' });

/** Long enough for a password; whether it is a common one is not looked at. */
export const longPassword = normalized('NFKC', 8, LONGEST);

export const newPassword = longPassword
  .refine((text) => !isCommonPassword(text), 'is among the most common passwords')
  .meta({
    format: 'password',
    description: '8 to 128 characters, counted in the form NFKC, which it is kept by; 15 or more are recommended.',
    examples: ['correct-horse-battery'],
  });
