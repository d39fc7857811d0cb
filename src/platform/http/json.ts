import { isUtf8 } from 'node:buffer';
import { Decimal, MAX_DECIMALS } from '../decimal.js';
import { isObject, parseExactly } from '../exact-json.js';
import { invalid, type Mistake } from './problem.js';

/** Deepest nesting of arrays and objects in JSON input. */
export const MAX_DEPTH = 32;

/**
 * Parses JSON, and refuses values that could not be stored and returned exactly.
 * @throws Problem invalid-request, with a pointer to the first such value
 */
export function parseJson(bytes: Buffer, what = 'The body'): unknown {
  if (!isUtf8(bytes)) throw invalid(`${what} is not valid UTF-8.`);
  const text = bytes.toString('utf8');
  if (text.startsWith('\ufeff')) throw invalid(`${what} begins with a byte order mark, which JSON does not have.`);
  let value: unknown;
  try {
    value = parseExactly(text);
  } catch (error) {
    if (error instanceof RangeError) throw invalid(`${what} is nested deeper than ${MAX_DEPTH} levels.`);
    const position = /position (\d+)/.exec((error as Error).message)?.[1];
    throw invalid(`${what} is not valid JSON${position ? `: see character ${Number(position) + 1}` : ''}.`);
  }
  const flaw = findFlaw(value, 1, text.includes('\\u'));
  if (flaw) throw invalid(`${what} contains a value that is not allowed.`, [{ ...flaw, pointer: shown(flaw.pointer) }]);
  return value;
}

/** Only an escape can bring a NUL or a lone surrogate into valid UTF-8, so strings are checked only if there is one. */
function findFlaw(value: unknown, depth: number, escapes: boolean): Mistake | undefined {
  if (typeof value === 'string') return escapes ? stringFlaw(value) : undefined;
  if (typeof value === 'number') return numberFlaw(value);
  if (typeof value !== 'object' || value === null) return undefined;
  if (value instanceof Decimal) return decimalFlaw(value);
  if (depth > MAX_DEPTH) return flaw(`is nested deeper than ${MAX_DEPTH} levels`);
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) {
      const found = findFlaw(value[index], depth + 1, escapes);
      if (found) return under(index, found);
    }
    return undefined;
  }
  for (const key of Object.keys(value)) {
    const member = (value as Record<string, unknown>)[key];
    const found = keyFlaw(key, member, escapes) ?? findFlaw(member, depth + 1, escapes);
    if (found) return under(key, found);
  }
  return undefined;
}

function keyFlaw(key: string, member: unknown, escapes: boolean): Mistake | undefined {
  if (key === '__proto__') return flaw('is a name that is not allowed');
  if (key === 'constructor' && isObject(member) && Object.hasOwn(member, 'prototype'))
    return flaw('must not hold a prototype');
  return escapes ? stringFlaw(key) : undefined;
}

function stringFlaw(text: string): Mistake | undefined {
  if (text.includes('\0')) return flaw('holds a NUL character');
  return text.isWellFormed() ? undefined : flaw('holds half of a surrogate pair');
}

/** The parsed value is enough: a number beyond 2^53-1 is still beyond it after rounding, and 1e999 becomes Infinity. */
const numberFlaw = (value: number): Mistake | undefined =>
  Math.abs(value) > Number.MAX_SAFE_INTEGER
    ? flaw('is a number beyond ±9007199254740991, which many clients cannot represent exactly')
    : undefined;

const decimalFlaw = ({ decimals }: Decimal): Mistake | undefined =>
  decimals > MAX_DECIMALS ? flaw(`is a number with more than ${MAX_DECIMALS} decimals`) : undefined;

const flaw = (detail: string): Mistake => ({ pointer: '', detail });

const under = (key: string | number, { pointer, detail }: Mistake): Mistake => ({
  pointer: `/${escapePointer(key)}${pointer}`,
  detail,
});

/** Answers cut names and pointers to this length, since a report may show a thousand of them. */
const LONGEST_NAME = 200;
export const shown = (name: string) => (name.length > LONGEST_NAME ? `${name.slice(0, LONGEST_NAME)}…` : name);

/** One step of a JSON Pointer (RFC 6901). A lone surrogate becomes U+FFFD. */
export const escapePointer = (key: string | number): string =>
  shown(String(key)).toWellFormed().replaceAll('~', '~0').replaceAll('/', '~1');
