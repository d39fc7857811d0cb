import { createRequire } from 'node:module';
import { fold } from './fold.js';

let dictionary: Set<string> | undefined;

/**
 * Whether it is, but for width, marks and case, among the commonest passwords of public breaches, which are read when first
 * needed. Shorter ones are refused for their length.
 */
export function isCommonPassword(password: string): boolean {
  dictionary ??= new Set(
    (createRequire(import.meta.url)('@zxcvbn-ts/language-common').dictionary['passwords-common'] as string[]).filter(
      (common) => common.length >= 8,
    ),
  );
  return dictionary.has(fold(password));
}
