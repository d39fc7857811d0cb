import { storedLength } from './stored-length.js';

it('is the number of bytes, not of characters', () => {
  expect(storedLength('{}')).toBe(2);
  expect(storedLength('{"é":"🦀"}')).toBe(13);
});

it('counts the zeros that PostgreSQL writes for a negative exponent', () => {
  // 0.000…0005 has 324 decimals.
  expect(storedLength('[5e-324]')).toBeGreaterThanOrEqual('[0.]'.length + 324);
  expect(storedLength(JSON.stringify([1.5e-7, 1e-7, -2.25e-10]))).toBeGreaterThanOrEqual(
    '[0.00000015,0.0000001,-0.000000000225]'.length,
  );
  const many = JSON.stringify(Array(1000).fill(5e-324));
  expect(storedLength(many)).toBeGreaterThanOrEqual(326 * 1000);
  expect(storedLength(many)).toBeLessThan(340 * 1000);
});

it('adds nothing for other numbers', () => {
  for (const text of ['[0.000001,123456789.5,9007199254740991,-1]', '{"e":"e-"}'])
    expect(storedLength(text)).toBe(text.length);
});
