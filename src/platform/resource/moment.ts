import { z } from 'zod';

/** RFC 3339 has years of four digits only, and PostgreSQL writes other years differently. */
export const isInRange = (moment: Date | string): boolean => {
  const year = new Date(moment).getUTCFullYear();
  return year >= 1 && year <= 9999;
};

const timestamp = z
  .string()
  .toUpperCase()
  .refine((text) => !/:60[.Z+-]/.test(text), { error: 'is a leap second, which cannot be stored', abort: true })
  .check(z.iso.datetime({ offset: true, abort: true }))
  .refine(isInRange, 'must be in the years 0001 to 9999');

/** A time with its offset (RFC 3339), converted to UTC and cut to ms, for columns with a precision of 3. */
export const moment = timestamp.transform((text) => new Date(text).toISOString());

/** The same as the bound of a range: rounded up to the next ms, since columns have whole ms only. */
export const bound = timestamp.transform((text) => {
  const isBetween = /\.\d{3}\d*[1-9]/.test(text);
  // The first moment of the year 10000, as PostgreSQL writes it.
  return new Date(new Date(text).getTime() + (isBetween ? 1 : 0)).toISOString().replace(/^\+0/, '');
});
