import common from '@zxcvbn-ts/language-common';

/** The commonest passwords of public breaches, in lower case. Shorter ones are refused for their length. */
export const dictionary: ReadonlySet<string> = new Set(
  (common.dictionary['passwords-common'] as string[]).filter((password) => password.length >= 8),
);
