declare global {
  interface JSON {
    /** What JSON.stringify writes as it is. */
    rawJSON(text: string): object;
  }
}

/** More decimals than any double has that is written with 17 digits. */
export const MAX_DECIMALS = 400;

const PARTS = /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/i;

/** A number in JSON whose value no double has, or which JavaScript would write with an exponent. */
export class Decimal {
  constructor(private readonly source: string) {}

  /** Digits behind its point, written out. */
  get decimals(): number {
    const [, , , fraction = '', exponent = '0'] = PARTS.exec(this.source) as RegExpExecArray;
    return fraction.length - Number(exponent);
  }

  /** Without an exponent, as PostgreSQL gives it back: its length is what it takes there. */
  toString(): string {
    const [, sign, whole = '', fraction = ''] = PARTS.exec(this.source) as RegExpExecArray;
    const { decimals } = this;
    const digits = (whole + fraction + '0'.repeat(Math.max(-decimals, 0))).replace(/^0+/, '');
    if (decimals <= 0) return `${sign}${digits || '0'}`;
    const padded = digits.padStart(decimals + 1, '0');
    return `${sign}${padded.slice(0, -decimals)}.${padded.slice(-decimals)}`;
  }

  toJSON(): object {
    return JSON.rawJSON(this.toString());
  }
}

/** A number of JSON, by its text: as JavaScript's if that has the same value and is written without an exponent. */
export function toNumber(value: number, source: string): number | Decimal {
  // Beyond, nothing is taken.
  if (Math.abs(value) > Number.MAX_SAFE_INTEGER) return value;
  const text = String(value);
  if (text === source && isWrittenOut(text)) return value;
  if (value === 0 && !/^[^e]*[1-9]/i.test(source)) return 0;
  const decimal = new Decimal(source);
  if (decimal.decimals > MAX_DECIMALS) return decimal;
  return withoutZeros(decimal.toString()) === text ? value : decimal;
}

export const isWrittenOut = (text: string): boolean => !text.includes('e') && !text.includes('E');

/** By hand: a pattern would take the square of a number's length. */
function withoutZeros(text: string): string {
  if (!text.includes('.')) return text;
  let end = text.length;
  while (text[end - 1] === '0') end--;
  return text.slice(0, text[end - 1] === '.' ? end - 1 : end);
}
