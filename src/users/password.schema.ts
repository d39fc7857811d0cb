import { normalized } from '../platform/normalized.js';
import { isCommonPassword } from './common-passwords.js';

const LONGEST = 128;

/** An existing user's password, in NFKC like the one that was hashed, however it was typed. */
export const givenPassword = normalized('NFKC', 1, LONGEST).meta({ format: 'password' });

/** A password that is long enough. It may be a common one. */
export const longPassword = normalized('NFKC', 8, LONGEST);

export const newPassword = longPassword
  .refine((text) => !isCommonPassword(text), 'is among the most common passwords')
  .meta({
    format: 'password',
    description: '8 to 128 characters, counted after normalization to NFKC; 15 or more are recommended.',
    examples: ['correct-horse-battery'],
  });
