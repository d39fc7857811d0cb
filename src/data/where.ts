import { parseJson } from '../platform/http/json.js';
import { invalid, type Mistake, Problem } from '../platform/http/problem.js';

/**
 * The JSON that `data` must contain, from a query parameter.
 * @throws Problem invalid-request that names the parameter, wherever in it the flaw is
 */
export function parseWhere(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const value = parse(text);
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return JSON.stringify(value);
  throw refused('must be a JSON object');
}

function parse(text: string): unknown {
  try {
    return parseJson(Buffer.from(text), 'where');
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    const [mistake] = (error.members.errors as Mistake[] | undefined) ?? [];
    throw refused(mistake ? `${mistake.pointer} ${mistake.detail}` : 'must be a JSON object');
  }
}

const refused = (detail: string) => invalid('A parameter is not valid.', [{ pointer: 'where', detail }]);
