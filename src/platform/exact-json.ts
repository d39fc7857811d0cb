/**
 * JSON.parse, but for a flaw of V8 12.8 and later (nodejs/node#63785): when it has met a name with a backslash, it may
 * take another name with an escape for that one. The result then holds a backslash in a name, so what does is read again
 * with numbers in place of its names, which hold no escapes.
 * @throws SyntaxError
 */
export function parseExactly(text: string): unknown {
  const value = JSON.parse(text);
  if (!text.includes('\\') || !hasBackslashName(value)) return value;
  const names: string[] = [];
  const numbered = text.replace(/"[^"\\]*(?:\\.[^"\\]*)*"(\s*:)?/g, (token, colon?: string) => {
    if (colon === undefined) return token;
    return `"${names.push(JSON.parse(token.slice(0, -colon.length))) - 1}"${colon}`;
  });
  return renamed(JSON.parse(numbered), names);
}

function hasBackslashName(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (Array.isArray(value)) return value.some(hasBackslashName);
  return Object.entries(value).some(([name, member]) => name.includes('\\') || hasBackslashName(member));
}

function renamed(value: unknown, names: string[]): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((element) => renamed(element, names));
  const entries = Object.entries(value);
  return Object.fromEntries(entries.map(([number, member]) => [names[Number(number)], renamed(member, names)]));
}
