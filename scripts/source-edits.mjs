import { readFileSync, writeFileSync } from 'node:fs';

/** Puts lines where the anchors are found. */
export function edit(path, edits) {
  let text = readFileSync(path, 'utf8');
  for (const [anchor, replacement] of edits) {
    if (!anchor.test(text)) throw new Error(`${path} is not as it was: add what belongs there yourself.`);
    text = text.replace(anchor, replacement);
  }
  writeFileSync(path, text);
}

/** @param file below src, without .ts */
export const registerMigration = (name, file) =>
  edit('src/migrations.ts', [
    [/(?=import)/, `import { ${name} } from './${file}.js';\n`],
    [/(migrations: Migration\[\] = \[[^\]]*?)(,?\s*\];)/, `$1, ${name}$2`],
  ]);

export const words = (name) => name.split('-');
const capital = (word) => word.charAt(0).toUpperCase() + word.slice(1);
export const pascal = (name) => words(name).map(capital).join('');
export const camel = (name) => words(name)[0] + words(name).slice(1).map(capital).join('');
export const NAME = /^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$/;
