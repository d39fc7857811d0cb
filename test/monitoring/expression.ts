/** PromQL's keywords in places where a name may be. */
const WORDS = /^(?:by|without|on|ignoring|group_left|group_right|and|or|unless|bool|offset|atan2|inf|nan)$/i;
const GROUPING = /\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)/gi;

/** The metrics and the labels that a PromQL expression names. */
export function namesIn(expression: string): { metrics: string[]; labels: string[] } {
  const bare = expression.replace(/"(?:[^"\\]|\\.)*"/g, '""');
  const selectors = [...bare.matchAll(/\{([^}]*)\}/g)].map(([, matchers]) => matchers as string);
  const groupings = [...bare.matchAll(GROUPING)].map(([, labels]) => labels as string);
  const rest = bare
    .replace(/\{[^}]*\}/g, ' ')
    .replace(/\[[^\]]*\]/g, ' ')
    .replace(GROUPING, ' ');
  // A name before a bracket is a function, and letters after a digit are a unit.
  const metrics = [...rest.matchAll(/(?<![\w.])[a-zA-Z_:][\w:]*(?!\w|:|\s*\()/g)].map(([name]) => name);
  return {
    metrics: unique(metrics.filter((name) => !WORDS.test(name))),
    labels: unique([
      ...selectors.flatMap((matchers) => [...matchers.matchAll(/(\w+)\s*[=!]/g)].map(([, label]) => label as string)),
      ...groupings.flatMap((labels) => labels.match(/\w+/g) ?? []),
    ]),
  };
}

const unique = (names: string[]) => [...new Set(names)].sort();
