// Makes a copy of the project with a module built into it, and builds that: to measure the module, and to test its page.
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));
/** What is made anew, or is this machine's alone. */
const LEFT_OUT = new Set(['.git', '.data', '.env', 'client', 'coverage', 'dist', 'node_modules']);
const MOST_OUTPUT_BYTES = 10_000_000;

type Texts = Record<string, string>;

interface Copied {
  /** The copy's, which is made. */
  folder: string;
  /** Texts by their paths in the project. */
  files: Texts;
  /** Of these, the path of the module and that of its migration, which are put beside the project's own. */
  module?: string;
  migration?: string;
}

/** @returns the folder, built as `npm run build` does @throws Error with what the build printed, when it fails */
export async function copyWithModule({ folder, files, module, migration }: Copied): Promise<string> {
  mkdirSync(folder, { recursive: true });
  for (const name of readdirSync(root).filter((one) => !LEFT_OUT.has(one)))
    cpSync(join(root, name), join(folder, name), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  const put = (path: string, list: string, file: string) => {
    const text = readFileSync(join(folder, file), 'utf8');
    writeFileSync(
      join(folder, file),
      withMember(text, list, className(files[path] as string), `./${path.slice('src/'.length)}`),
    );
  };
  if (module) put(module, 'FEATURES', 'src/app.module.ts');
  if (migration) put(migration, 'migrations', 'src/migrations.ts');
  await promisify(execFile)('npm', ['run', '-s', 'build'], { cwd: folder, maxBuffer: MOST_OUTPUT_BYTES });
  return folder;
}

/**
 * The TypeScript files of a module that is written beside the project, as they are inside.
 * @param from its folder: `test/orders`
 * @param to the folder of a feature: `src/orders`
 * @returns texts by their paths
 */
export function filesOfModule(from: string, to: string): Texts {
  const names = readdirSync(join(root, from)).filter((name) => name.endsWith('.ts'));
  const textOf = (name: string) => readFileSync(join(root, from, name), 'utf8').replaceAll("'../../src/", "'../");
  return Object.fromEntries(names.map((name) => [`${to}/${name}`, textOf(name)]));
}

const className = (text: string): string => /^export class (\w+)/m.exec(text)?.[1] as string;

/** The text of a file, in which a class is imported and is the last member of a list. */
function withMember(text: string, list: string, name: string, path: string): string {
  const pattern = new RegExp(`(const ${list}\\b[^=]*= \\[[^\\]]*)\\]`);
  if (!pattern.test(text)) throw new Error(`There is no list ${list} to put ${name} into.`);
  return `import { ${name} } from '${path.replace(/\.ts$/, '.js')}';\n${text.replace(pattern, `$1, ${name}]`)}`;
}
