/** One JSON text out of an upload: its place from 1, and its bytes, or null when it is longer than allowed. */
export interface Item {
  line: number;
  bytes: Buffer | null;
}

/** Cuts an upload into its items as it comes, holding no more than a chunk's and one that is not complete. */
export type Split = (chunks: AsyncIterable<Buffer> | Iterable<Buffer>, limit: number) => AsyncGenerator<Item[]>;

const code = (character: string) => character.charCodeAt(0);
const [NEWLINE, QUOTE, BACKSLASH, COMMA] = [code('\n'), code('"'), code('\\'), code(',')];
const [OPEN, CLOSE, BRACE, UNBRACE] = [code('['), code(']'), code('{'), code('}')];
const isSpace = (byte: number) => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
const isBlank = (bytes: Buffer | null) => bytes?.every(isSpace) ?? false;

/** An item of which the first bytes came in chunks before; of one that is too long already, no more is kept. */
const join = (begun: Buffer, bytes: Buffer, limit: number): Buffer =>
  begun.length === 0 ? bytes : begun.length > limit ? begun : Buffer.concat([begun, bytes]);
const within = (bytes: Buffer, limit: number) => (bytes.length > limit ? null : bytes);
const NOTHING = Buffer.alloc(0);

/**
 * One JSON text a line (application/x-ndjson); blank lines are passed over but counted.
 * @param limit bytes of the longest line
 */
export const splitLines: Split = async function* (chunks, limit) {
  let rest: Buffer = NOTHING;
  let line = 0;
  for await (const chunk of chunks) {
    const items: Item[] = [];
    let start = 0;
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, start)) {
      const bytes = within(join(rest, chunk.subarray(start, at), limit), limit);
      line++;
      if (!isBlank(bytes)) items.push({ line, bytes });
      rest = NOTHING;
      start = at + 1;
    }
    rest = join(rest, chunk.subarray(start), limit);
    yield items;
  }
  const bytes = within(rest, limit);
  if (!isBlank(bytes)) yield [{ line: line + 1, bytes }];
};

/** Finds the commas between an array's elements and its end. Whether an element is JSON shows later. */
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
 * The elements of one JSON array.
 * @param limit bytes of the longest element
 * @throws SyntaxError when what comes is no array, goes on behind its end, or does not come to it
 */
export const splitArray: Split = async function* (chunks, limit) {
  const elements = new Elements();
  let state = 'before' as 'before' | 'inside' | 'behind';
  let rest: Buffer = NOTHING;
  let line = 0;
  for await (const chunk of chunks) {
    const items: Item[] = [];
    let start = 0;
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at] as number;
      if (state !== 'inside') {
        if (isSpace(byte)) continue;
        if (state === 'behind' || byte !== OPEN) throw new SyntaxError('not one array');
        state = 'inside';
        start = at + 1;
      } else if (elements.isEnd(byte)) {
        const bytes = within(join(rest, chunk.subarray(start, at), limit), limit);
        rest = NOTHING;
        start = at + 1;
        if (byte === CLOSE) state = 'behind';
        // An empty array has no element; anywhere else an empty element is a mistake.
        if (line > 0 || byte === COMMA || !isBlank(bytes)) items.push({ line: ++line, bytes });
      }
    }
    if (state === 'inside') rest = join(rest, chunk.subarray(start), limit);
    yield items;
  }
  if (state !== 'behind') throw new SyntaxError('array not closed');
};
