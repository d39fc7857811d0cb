import { createRequire } from 'node:module';
import { fold } from './fold.js';

let dictionary: Set<string> | undefined;

/**
 * Whether a password, ignoring width, marks and case, is among the most common ones of public breaches. The list is
 * loaded on first use, without passwords that are refused for their length.
 */
export function isCommonPassword(password: string): boolean {
  dictionary ??= new Set(
    (createRequire(import.meta.url)('@zxcvbn-ts/language-common').dictionary['passwords-common'] as string[]).filter(
      (common) => common.length >= 8,
    ),
  );
  return dictionary.has(fold(password));
}
