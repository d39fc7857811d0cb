/**
 * Bytes that JSON text has when PostgreSQL gives it back, but for spaces: jsonb writes a number with a negative exponent
 * out in full, so that 64 KiB of 5e-324 would come back as 3 MB.
 */
export function storedLength(text: string): number {
  let length = Buffer.byteLength(text);
  if (text.includes('e-')) for (const [, exponent] of text.matchAll(/\de-(\d{1,3})/g)) length += Number(exponent);
  return length;
}
