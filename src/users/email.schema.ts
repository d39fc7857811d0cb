import { z } from 'zod';
import { fold } from './fold.js';

const LONGEST = 254;
const EMAIL =
  /^(?=.{1,64}@)[A-Za-z0-9_'+-]+(\.[A-Za-z0-9_'+-]+)*@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}$/;

/** A user's email. Long texts are refused before the pattern is applied. */
export const newEmail = z
  .string()
  .min(1)
  .max(LONGEST, { abort: true })
  .email({ pattern: EMAIL })
  .meta({ format: 'email', examples: ['ada@example.com'] });

/** The canonical form of any text that is given as an email. */
export const givenEmail = z.string().min(1).max(LONGEST, { abort: true }).overwrite(fold);

/** The beginning of an email to search for, in canonical form. */
export const emailPrefix = z.string().max(LONGEST, { abort: true }).overwrite(fold);
