import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';

/** A regular expression of the source, with its text and its file. */
export interface Pattern {
  file: string;
  text: string;
  regexp: RegExp;
}

/** This file makes a pattern of each route. */
const MADE_OF_ROUTES = 'platform/edge/edge-path.ts';

/** Every regular expression in src except in specs. */
export function patternsOfSource(): Pattern[] {
  const files = readdirSync('src', { recursive: true, encoding: 'utf8' });
  return files.filter((file) => file.endsWith('.ts') && !file.endsWith('.spec.ts')).flatMap(patternsOf);
}

function patternsOf(file: string): Pattern[] {
  const found: Pattern[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isRegularExpressionLiteral(node)) found.push({ file, text: node.text, regexp: toRegExp(node.text) });
    const isMade = ts.isNewExpression(node) && node.expression.getText() === 'RegExp';
    if (isMade && file !== MADE_OF_ROUTES) throw new Error(`${file} makes a pattern`);
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(file, readFileSync(join('src', file), 'utf8'), ts.ScriptTarget.Latest, true));
  return found;
}

export function toRegExp(text: string): RegExp {
  const end = text.lastIndexOf('/');
  return new RegExp(text.slice(1, end), text.slice(end + 1));
}

/** Characters of every kind that patterns distinguish. */
const ALPHABET = [...'a1_-./\\"\',;:=@% \t\0\u00e9'];

/**
 * Texts of these lengths made against a pattern: a valid one, cut, extended by repetition, and possibly with a bad end. A
 * text on which a pattern takes more than linear time repeats one or two of the pattern's parts.
 */
export function* textsAgainst(sample: string, ...lengths: number[]): Generator<string> {
  const pumps = ALPHABET.flatMap((first) => [first, ...ALPHABET.map((second) => first + second)]);
  const whole = [sample, `${sample},`, `${sample} `, `,${sample}`];
  const repeated = [...pumps, ...whole].filter((one) => one !== '');
  for (const [length, pump] of lengths.flatMap((each) => repeated.map((one) => [each, one] as const))) {
    const cuts = pump.length === 1 ? Array.from({ length: sample.length + 1 }, (_, cut) => cut) : [0, sample.length];
    for (const cut of cuts) {
      const begun = sample.slice(0, cut) + pump.repeat(Math.ceil(length / pump.length)).slice(0, length);
      yield begun;
      yield `${begun}\n!`;
      if (cut === 0 || cut === sample.length) continue;
      yield begun + sample.slice(cut);
      yield `${begun}${sample.slice(cut)}\n!`;
    }
  }
}

/** The time in ms of a pattern on a text, up to the last match, as it is used. */
export function timeOf({ flags, source }: RegExp, text: string): number {
  const regexp = new RegExp(source, flags);
  const begun = performance.now();
  if (regexp.global) for (const _ of text.matchAll(regexp));
  else regexp.exec(text);
  return performance.now() - begun;
}
