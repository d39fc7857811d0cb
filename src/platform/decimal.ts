declare global {
  interface JSON {
    /** Makes a value that JSON.stringify writes verbatim. */
    rawJSON(text: string): object;
  }
}

/** More decimals than any double has when it is written with 17 digits. */
export const MAX_DECIMALS = 400;

const PARTS = /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/i;

/** A JSON number that a double cannot hold exactly, or that JavaScript would write with an exponent. */
export class Decimal {
  constructor(private readonly source: string) {}

  /** Digits behind the decimal point when it is written without an exponent. */
  get decimals(): number {
    const [, , , fraction = '', exponent = '0'] = PARTS.exec(this.source) as RegExpExecArray;
    return fraction.length - Number(exponent);
  }

  /** Without an exponent, as PostgreSQL returns it, so that its length is the length in PostgreSQL too. */
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

/** @returns a number if it has the exact value of the text and is written without an exponent, else a Decimal */
export function toNumber(value: number, source: string): number | Decimal {
  // Larger numbers are refused later.
  if (Math.abs(value) > Number.MAX_SAFE_INTEGER) return value;
  const text = String(value);
  if (text === source && isWrittenOut(text)) return value;
  if (value === 0 && !/^[^e]*[1-9]/i.test(source)) return 0;
  const decimal = new Decimal(source);
  if (decimal.decimals > MAX_DECIMALS) return decimal;
  return withoutZeros(decimal.toString()) === text ? value : decimal;
}

export const isWrittenOut = (text: string): boolean => !text.includes('e') && !text.includes('E');

/** A loop, since a regular expression would take quadratic time. */
function withoutZeros(text: string): string {
  if (!text.includes('.')) return text;
  let end = text.length;
  while (text[end - 1] === '0') end--;
  return text.slice(0, text[end - 1] === '.' ? end - 1 : end);
}
