import type { Config } from '../config.token.js';

/** What clients write before every path, and a proxy in front takes off: the path of PUBLIC_URL; '' where that has none. */
export const publicPathOf = ({ PUBLIC_URL }: Config): string => new URL(PUBLIC_URL).pathname.replace(/\/$/, '');

/** A path, or a Link's targets that are paths, as clients write them. A request's target has no blank. */
export const asPublic = (publicPath: string, text: string): string =>
  text.replace(/^(?=\/)|(?<=^<|, <)(?=\/)/g, () => publicPath);

/** An answer's headers as clients are told them: those that begin with a path lead somewhere. */
export function publicHeaders(publicPath: string, headers: Record<string, string>): Record<string, string> {
  if (publicPath === '') return headers;
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, asPublic(publicPath, value)]));
}
