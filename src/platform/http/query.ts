import { canDecode } from './split-url.js';

/** Far more parameters than any route has. */
const MAX_QUERY_PARAMETERS = 100;

/** The parameters of a query, each with all of its values; undefined for a query that is not acceptable. */
export function readQuery(query: string): Record<string, string | string[]> | undefined {
  const parameters: Record<string, string | string[]> = Object.create(null);
  if (query === '') return parameters;
  if (/[^\x21-\x7e]|%00/.test(query) || !canDecode(query)) return undefined;
  if (query.split('&', MAX_QUERY_PARAMETERS + 1).length > MAX_QUERY_PARAMETERS) return undefined;
  // URLSearchParams strips a leading question mark, which the query may have of its own.
  for (const [name, value] of new URLSearchParams(`?${query}`)) {
    const before = parameters[name];
    parameters[name] = before === undefined ? value : [before, value].flat();
  }
  return parameters;
}
