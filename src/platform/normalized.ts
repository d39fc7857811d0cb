import { z } from 'zod';

/** No character of a normalised text is more than this in pieces. */
const MOST_PIECES = 4;

/**
 * Text of so many characters in a form of Unicode, to which it is brought first. What is too long in any form is refused
 * before that: NFKC makes 18 of some characters.
 */
export const normalized = (form: 'NFC' | 'NFKC', min: number, max: number, raw = z.string()) =>
  raw
    .max(MOST_PIECES * max, { error: `must have ${max} characters or fewer`, abort: true })
    .normalize(form)
    .min(min, { error: `must have ${min} characters or more`, abort: true })
    .max(max, { error: `must have ${max} characters or fewer`, abort: true });
