import { createHash, type Hash } from 'node:crypto';

/** One JSON text of an upload: its line from 1, and its bytes, or their hash if it is too long. */
export interface Item {
  line: number;
  bytes: Buffer;
  isTooLong: boolean;
}

/** Splits an upload into items while it arrives. It holds the items of one chunk and an incomplete one at most. */
export type Split = (chunks: AsyncIterable<Buffer> | Iterable<Buffer>, begun: Begun) => AsyncGenerator<Item[]>;

const code = (character: string) => character.charCodeAt(0);
const [NEWLINE, QUOTE, BACKSLASH, COMMA] = [code('\n'), code('"'), code('\\'), code(',')];
const [OPEN, CLOSE, BRACE, UNBRACE] = [code('['), code(']'), code('{'), code('}')];
/** The first byte of a byte order mark, with which no JSON begins. */
const BOM = 0xef;
const isSpace = (byte: number) => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
const isBlank = ({ bytes, isTooLong }: Omit<Item, 'line'>) => !isTooLong && bytes.every(isSpace);
const NOTHING = Buffer.alloc(0);

/** An incomplete item. */
export class Begun {
  private bytes: Buffer = NOTHING;
  private length = 0;
  /** Set once the item is too long. */
  private hash: Hash | undefined;

  /** @param limit the most bytes of an item */
  constructor(private readonly limit: number) {}

  /** The memory that it takes, in bytes. */
  get held(): number {
    return this.bytes.length;
  }

  add(chunk: Buffer): void {
    const length = this.length + chunk.length;
    if (!this.hash && length > this.limit) {
      this.hash = createHash('sha256').update(this.bytes.subarray(0, this.length));
      this.bytes = NOTHING;
    }
    if (this.hash) return void this.hash.update(chunk);
    if (length > this.bytes.length) {
      const longer = Buffer.allocUnsafeSlow(Math.min(2 * length, this.limit));
      this.bytes.copy(longer, 0, 0, this.length);
      this.bytes = longer;
    }
    chunk.copy(this.bytes, this.length);
    this.length = length;
  }

  /** Completes the item with its last bytes. */
  end(chunk: Buffer): Omit<Item, 'line'> {
    if (this.length === 0 && !this.hash && chunk.length <= this.limit) return { bytes: chunk, isTooLong: false };
    this.add(chunk);
    const { hash } = this;
    const bytes = hash ? hash.digest() : this.bytes.subarray(0, this.length);
    [this.bytes, this.length, this.hash] = [NOTHING, 0, undefined];
    return { bytes, isTooLong: hash !== undefined };
  }
}

/** Splits NDJSON (application/x-ndjson). Blank lines are skipped but counted. */
export const splitLines: Split = async function* (chunks, begun) {
  let line = 0;
  for await (const chunk of chunks) {
    const items: Item[] = [];
    let start = 0;
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, start)) {
      const item = begun.end(chunk.subarray(start, at));
      line++;
      if (!isBlank(item)) items.push({ line, ...item });
      start = at + 1;
    }
    begun.add(chunk.subarray(start));
    yield items;
  }
  const item = begun.end(NOTHING);
  if (!isBlank(item)) yield [{ line: line + 1, ...item }];
};

/** Finds the commas between an array's elements, and its end. Elements are parsed later. */
class Elements {
  private depth = 0;
  private inString = false;
  private escaped = false;

  isEnd(byte: number): boolean {
    if (this.inString) {
      if (this.escaped) this.escaped = false;
      else if (byte === BACKSLASH) this.escaped = true;
      else if (byte === QUOTE) this.inString = false;
    } else if (byte === QUOTE) this.inString = true;
    else if (byte === OPEN || byte === BRACE) this.depth++;
    else if (this.depth === 0) return byte === COMMA || byte === CLOSE;
    else if (byte === CLOSE || byte === UNBRACE) this.depth--;
    return false;
  }
}

/**
 * Splits a JSON array.
 * @throws SyntaxError when the body is not an array, ends before it does or goes on after it
 */
export const splitArray: Split = async function* (chunks, begun) {
  const elements = new Elements();
  let state = 'before' as 'before' | 'inside' | 'behind';
  let line = 0;
  for await (const chunk of chunks) {
    const items: Item[] = [];
    let start = 0;
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at] as number;
      if (state !== 'inside') {
        if (isSpace(byte)) continue;
        if (byte === BOM && state === 'before')
          throw new SyntaxError('begins with a byte order mark, which JSON does not have');
        if (state === 'behind' || byte !== OPEN) throw new SyntaxError('is not a single JSON array');
        state = 'inside';
        start = at + 1;
      } else if (elements.isEnd(byte)) {
        const item = begun.end(chunk.subarray(start, at));
        start = at + 1;
        if (byte === CLOSE) state = 'behind';
        // An empty array has no element; anywhere else an empty element is a mistake.
        if (line > 0 || byte === COMMA || !isBlank(item)) items.push({ line: ++line, ...item });
      }
    }
    if (state === 'inside') begun.add(chunk.subarray(start));
    yield items;
  }
  if (state !== 'behind') throw new SyntaxError('ends before the end of its JSON array');
};
