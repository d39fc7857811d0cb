import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import type { Operation } from './operations.js';

/** Where a module says what only people know of its routes. */
export const contractOfRoom = (room: string): string => `src/${room}/${room}.contract.ts`;

/** The folder below src whose controller has the operation. */
export function roomOf({ path }: Operation): string {
  const controllers = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((file) =>
    /^[^/\\]+[/\\][^/\\]+\.controller\.ts$/.test(file),
  );
  const prefixes = controllers.flatMap((file) =>
    [...readFileSync(join('src', file), 'utf8').matchAll(/@Controller\('\/?([^']*)'/g)].map(([, prefix]) => ({
      prefix: `/${prefix}`,
      room: file.split(/[/\\]/)[0] as string,
    })),
  );
  const [found] = prefixes
    .filter(({ prefix }) => path === prefix || path.startsWith(`${prefix}/`))
    .sort((a, b) => b.prefix.length - a.prefix.length);
  return found?.room ?? 'your-module';
}

/** What is to be written where, for operations that no contract speaks of: text for people. */
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

/** A guess: its owner and admins may, and others are told that it is not there. */
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
      const made = await owner.post('${maker?.path ?? '…'}', ${body});
      return { values: { ${values.join(', ')} } };
    },
  `;
  return `import { contract } from '../../test/support/contract.js';

// The statuses are those for nobody (no token), another user, the owner and an admin.
export default contract({
  things: {${about ? thing : ''}},
  operations: {
${rows}
  },
});
`;
}
