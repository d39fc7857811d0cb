import { canDecode } from './split-url.js';

/** More parameters than any route has, by far. */
const MAX_QUERY_PARAMETERS = 100;

/** The parameters of a query, as everything here reads it; undefined where it is none that may be taken. */
export function readQuery(query: string): Record<string, string | string[]> | undefined {
  const parameters: Record<string, string | string[]> = Object.create(null);
  if (query === '') return parameters;
  if (/[^\x21-\x7e]|%00/.test(query) || !canDecode(query)) return undefined;
  if (query.split('&', MAX_QUERY_PARAMETERS + 1).length > MAX_QUERY_PARAMETERS) return undefined;
  // It would take a first question mark of the query for the one before it.
  for (const [name, value] of new URLSearchParams(`?${query}`)) {
    const before = parameters[name];
    parameters[name] = before === undefined ? value : [before, value].flat();
  }
  return parameters;
}
