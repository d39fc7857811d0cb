/** One JSON text out of an upload: its place from 1, and its bytes, or null when it is longer than allowed. */
export interface Item {
  line: number;
  bytes: Buffer | null;
}

/** Cuts an upload into its items as it comes, holding no more than one that is not complete. */
export interface Splitter {
  push(chunk: Buffer): Item[];
  /** The upload is over. @returns the last item, when it had no end of its own */
  end(): Item[];
}

const [NEWLINE, QUOTE, BACKSLASH, COMMA, OPEN, CLOSE, BRACE, UNBRACE] = [...Buffer.from('\n"\\,[]{}')] as number[];
const isSpace = (byte: number) => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
const isBlank = (bytes: Buffer) => bytes.every(isSpace);

/** The bytes of an item that may come in several chunks. */
class Gathering {
  private parts: Buffer[] = [];
  private length = 0;

  constructor(private readonly limit: number) {}

  add(part: Buffer): void {
    this.length += part.length;
    // What is too long is counted, not kept.
    if (this.length > this.limit) this.parts = [];
    else if (part.length > 0) this.parts.push(part);
  }

  take(): Buffer | null {
    const bytes =
      this.length > this.limit ? null : this.parts.length === 1 ? (this.parts[0] as Buffer) : Buffer.concat(this.parts);
    this.parts = [];
    this.length = 0;
    return bytes;
  }
}

/** One JSON text a line (application/x-ndjson); blank lines are passed over but counted. */
export class LineSplitter implements Splitter {
  private readonly gathering: Gathering;
  private line = 0;

  /** @param limit bytes of the longest line */
  constructor(limit: number) {
    this.gathering = new Gathering(limit);
  }

  push(chunk: Buffer): Item[] {
    const items: Item[] = [];
    let start = 0;
    for (let at = chunk.indexOf(NEWLINE as number); at >= 0; at = chunk.indexOf(NEWLINE as number, start)) {
      this.gathering.add(chunk.subarray(start, at));
      this.finish(items);
      start = at + 1;
    }
    this.gathering.add(chunk.subarray(start));
    return items;
  }

  end(): Item[] {
    const items: Item[] = [];
    this.finish(items);
    return items;
  }

  private finish(items: Item[]): void {
    const bytes = this.gathering.take();
    this.line++;
    if (bytes === null || !isBlank(bytes)) items.push({ line: this.line, bytes });
  }
}

/** The elements of one JSON array. Only brackets, commas and strings are looked at: whether an element is JSON shows later. */
export class ArraySplitter implements Splitter {
  private readonly gathering: Gathering;
  private state: 'before' | 'inside' | 'behind' = 'before';
  private line = 0;
  private depth = 0;
  private inString = false;
  private escaped = false;

  /** @param limit bytes of the longest element */
  constructor(limit: number) {
    this.gathering = new Gathering(limit);
  }

  /** @throws SyntaxError when what comes is no array, or goes on behind its end */
  push(chunk: Buffer): Item[] {
    const items: Item[] = [];
    let start = 0;
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at] as number;
      if (this.state !== 'inside') {
        if (isSpace(byte)) continue;
        if (this.state === 'behind' || byte !== OPEN) throw new SyntaxError('not one array');
        this.state = 'inside';
        start = at + 1;
      } else if (this.isEndOfElement(byte)) {
        this.gathering.add(chunk.subarray(start, at));
        this.finish(items, byte === CLOSE);
        start = at + 1;
      }
    }
    if (this.state === 'inside') this.gathering.add(chunk.subarray(start));
    return items;
  }

  /** @throws SyntaxError when the array was not closed */
  end(): Item[] {
    if (this.state !== 'behind') throw new SyntaxError('array not closed');
    return [];
  }

  private isEndOfElement(byte: number): boolean {
    if (this.inString) {
      if (this.escaped) this.escaped = false;
      else if (byte === BACKSLASH) this.escaped = true;
      else if (byte === QUOTE) this.inString = false;
      return false;
    }
    if (byte === QUOTE) this.inString = true;
    else if (byte === OPEN || byte === BRACE) this.depth++;
    else if (this.depth === 0) return byte === COMMA || byte === CLOSE;
    else if (byte === CLOSE || byte === UNBRACE) this.depth--;
    return false;
  }

  private finish(items: Item[], isLast: boolean): void {
    const bytes = this.gathering.take();
    if (isLast) this.state = 'behind';
    // An empty array has no element; anywhere else an empty element is a mistake.
    if (isLast && this.line === 0 && bytes !== null && isBlank(bytes)) return;
    this.line++;
    items.push({ line: this.line, bytes });
  }
}
