import { z } from 'zod';
import { fold } from './fold.js';

const LONGEST = 254;
const EMAIL =
  /^(?=.{1,64}@)[A-Za-z0-9_'+-]+(\.[A-Za-z0-9_'+-]+)*@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}$/;

/** The address of a user. Long texts are refused before any pattern looks at them. */
export const newEmail = z
  .string()
  .min(1)
  .max(LONGEST, { abort: true })
  .email({ pattern: EMAIL })
  .meta({ format: 'email', examples: ['ada@example.com'] });

/** What an address is looked up by, of whatever somebody gives as one. */
export const givenEmail = z.string().min(1).max(LONGEST, { abort: true }).overwrite(fold);

/** The beginning of an address, to look for. */
export const emailPrefix = z.string().max(LONGEST, { abort: true }).overwrite(fold);
