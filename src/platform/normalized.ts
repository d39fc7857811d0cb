import { z } from 'zod';

/** No character of a normalised text is longer than this when it is decomposed. */
const MOST_PIECES = 4;

/**
 * A text that is normalised to a Unicode form and then has `min` to `max` characters. A text that is too long in every
 * form is refused before that, since NFKC makes 18 characters of some.
 */
export const normalized = (form: 'NFC' | 'NFKC', min: number, max: number, raw = z.string()) =>
  raw
    .max(MOST_PIECES * max, { error: `must have ${max} characters or fewer`, abort: true })
    .normalize(form)
    .min(min, { error: `must have ${min} characters or more`, abort: true })
    .max(max, { error: `must have ${max} characters or fewer`, abort: true });
