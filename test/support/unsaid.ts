import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import type { Operation } from './operations.js';

/** The contract file of a module. */
export const contractOfRoom = (room: string): string => `src/${room}/${room}.contract.ts`;

/** The folder below src that has the operation: the one whose source has the longest beginning of its path. */
export function roomOf({ path }: Operation): string {
  const steps = path
    .replace(/\/\{.*/, '')
    .split('/')
    .slice(1);
  const beginnings = steps.map((_, cut) => steps.slice(0, steps.length - cut).join('/'));
  for (const beginning of beginnings) {
    const named = [`'${beginning}'`, `'/${beginning}'`];
    const room = features.find(({ source }) => named.some((text) => source.includes(text)));
    if (room) return room.name;
  }
  return 'your-module';
}

const features = readdirSync('src', { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && entry.name !== 'platform')
  .map(({ name }) => {
    const files = readdirSync(join('src', name)).filter((file) => /(?<!\.spec|\.contract)\.ts$/.test(file));
    return { name, source: files.map((file) => readFileSync(join('src', name, file), 'utf8')).join('\n') };
  });

/** Instructions on what to write where for operations without a contract. */
export function adviceFor(missing: Operation[]): string {
  const texts = Object.entries(Object.groupBy(missing, roomOf)).map(([room, of = []]) => {
    const rows = of.map((operation) => rowFor(operation, room)).join('\n');
    const [file, what] = [contractOfRoom(room), of.map(({ id }) => id).join(', ')];
    return existsSync(file)
      ? `${file} does not say who may do what: ${what}. Add to its operations, and correct:\n\n${rows}\n`
      : `Nobody says who may do what: ${what}. Write ${file}, and correct what is guessed:\n\n${firstContract(of, room, rows)}`;
  });
  return texts.join('\n');
}

const thingOf = (room: string) => `'one of the ${room}'`;

/** A guess: the owner and admins may, and others get 404. */
function rowFor({ id, path, success, isForAnyone }: Operation, room: string): string {
  const isOfOne = path.includes('{');
  const [nobody, another] = isForAnyone ? [success, success] : [401, isOfOne ? 404 : success];
  return `    ${id}: { ${isOfOne ? thingOf(room) : 'nothing'}: [${nobody}, ${another}, ${success}, ${success}] },`;
}

function firstContract(of: Operation[], room: string, rows: string): string {
  const [about] = of.filter(({ path }) => path.includes('{'));
  const maker = of.find(({ method, path }) => method === 'POST' && !path.includes('{'));
  const values = Object.keys(about?.unknown ?? {}).map((name) => `${name}: made.body.${name}`);
  const body = inspect(maker?.body ?? {}, { depth: null, breakLength: 1000 });
  const thing = `
    ${thingOf(room)}: async ({ 'the owner': owner }) => {
      const made = must(201, await owner.post('${maker?.path ?? '…'}', ${body}));
      return { values: { ${values.join(', ')} } };
    },
  `;
  const must = about ? "import { must } from '../../test/support/answers.js';\n" : '';
  return `${must}import { contract } from '../../test/support/contract.js';

// The statuses are those for nobody (no token), another user, the owner and an admin.
export default contract({
  subjects: {${about ? thing : ''}},
  operations: {
${rows}
  },
});
`;
}
