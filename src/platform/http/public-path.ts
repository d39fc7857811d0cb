import type { Config } from '../config.token.js';

/** The path of PUBLIC_URL, which clients write before every path and a proxy strips; '' without one. */
export const publicPathOf = ({ PUBLIC_URL }: Config): string => new URL(PUBLIC_URL).pathname.replace(/\/$/, '');

/** Puts the public path before a path, or before each target in a Link header that is a path. */
export const asPublic = (publicPath: string, text: string): string =>
  text.replace(/^(?=\/)|(?<=^<|, <)(?=\/)/g, () => publicPath);

/** An answer's headers with the public path in each value that begins with a path. */
export function publicHeaders(publicPath: string, headers: Record<string, string>): Record<string, string> {
  if (publicPath === '') return headers;
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, asPublic(publicPath, value)]));
}
