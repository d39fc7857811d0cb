import { z } from 'zod';

/** Four digits of a year are all that RFC 3339 has, and PostgreSQL's text of others is another. */
export const isInRange = (moment: Date | string): boolean => {
  const year = new Date(moment).getUTCFullYear();
  return year >= 1 && year <= 9999;
};

const timestamp = z
  .string()
  .toUpperCase()
  .refine((text) => !/:60[.Z+-]/.test(text), { error: 'is a leap second, which cannot be kept', abort: true })
  .check(z.iso.datetime({ offset: true, abort: true }))
  .refine(isInRange, 'must lie in the years 0001 to 9999');

/** A time with its offset (RFC 3339), cut to milliseconds, in UTC: of columns with a precision of 3. */
export const moment = timestamp.transform((text) => new Date(text).toISOString());

/** The same as the bound of a range: what lies between two milliseconds is before the later one, and columns have no others. */
export const bound = timestamp.transform((text) => {
  const isBetween = /\.\d{3}\d*[1-9]/.test(text);
  // The first moment of the year 10000, as PostgreSQL writes it.
  return new Date(new Date(text).getTime() + (isBetween ? 1 : 0)).toISOString().replace(/^\+0/, '');
});
