import { Decimal, isWrittenOut, toNumber } from './decimal.js';

/** Numbers that JSON.parse may change: those with 16 digits or more, an exponent, or six zeros behind the point. */
const SUSPECT = /(?:^|[:,[\s])-?(?:\d[\d.]{15}|\d[\d.]*[eE]|0\.0{6})[\d.eE+-]*/g;

/**
 * JSON.parse with two differences. Numbers that it would round become Decimals. And it works around a bug of V8 12.8
 * and later (nodejs/node#63785): after a name with a backslash, V8 may take another name with an escape for that one.
 * The result then has a backslash in a name, so such a text is parsed again with numbers as names, without escapes.
 * @throws SyntaxError; RangeError for a text nested some thousand levels deep
 */
export function parseExactly(text: string): unknown {
  const parse = isRounded(text) ? parseNumbers : JSON.parse;
  const value = parse(text);
  if (!text.includes('\\') || !hasBackslashName(value)) return value;
  const names: string[] = [];
  const numbered = text.replace(/"[^"\\]*(?:\\.[^"\\]*)*"(\s*:)?/g, (token, colon?: string) => {
    if (colon === undefined) return token;
    return `"${names.push(JSON.parse(token.slice(0, -colon.length))) - 1}"${colon}`;
  });
  return renamed(parse(numbered), names);
}

/** Whether a parsed value is a JSON object. */
export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Decimal);

/** Whether JSON.parse may change a number in a text. It may also say so of digits in a string. */
function isRounded(text: string): boolean {
  const suspects = text.match(SUSPECT);
  return suspects?.some((suspect) => !isKept(/^[-\d]/.test(suspect) ? suspect : suspect.slice(1))) ?? false;
}

const isKept = (number: string) => String(Number(number)) === number && isWrittenOut(number);

type Reviver = (this: unknown, key: string, value: unknown) => unknown;

const parseNumbers = (text: string): unknown => JSON.parse(text, revive as Reviver);

const revive = (_: string, value: unknown, { source }: { source: string }): unknown =>
  typeof value === 'number' ? toNumber(value, source) : value;

function hasBackslashName(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(hasBackslashName);
  if (!isObject(value)) return false;
  return Object.entries(value).some(([name, member]) => name.includes('\\') || hasBackslashName(member));
}

function renamed(value: unknown, names: string[]): unknown {
  if (Array.isArray(value)) return value.map((element) => renamed(element, names));
  if (!isObject(value)) return value;
  const entries = Object.entries(value);
  return Object.fromEntries(entries.map(([number, member]) => [names[Number(number)], renamed(member, names)]));
}
