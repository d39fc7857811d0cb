import { createRequire } from 'node:module';

let dictionary: Set<string> | undefined;

/** Whether it is among the commonest passwords of public breaches, which are read when first needed. Shorter ones are refused for their length. */
export function isCommonPassword(password: string): boolean {
  dictionary ??= new Set(
    (createRequire(import.meta.url)('@zxcvbn-ts/language-common').dictionary['passwords-common'] as string[]).filter(
      (common) => common.length >= 8,
    ),
  );
  return dictionary.has(password.toLowerCase());
}
