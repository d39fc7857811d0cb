// Copies to a folder what the bundles load from node_modules as they run: an image needs no second copy of what they
// hold, nor what only made them. Goes by package-lock.json, as npm does.
import { cp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EXTERNAL } from './external.mjs';

const [target] = process.argv.slice(2);
const { packages } = JSON.parse(await readFile('package-lock.json', 'utf8'));
const needed = new Set();

/** Where node finds a package: in the folder of who asks for it, or further up. */
function find(name, from) {
  const path = `${from}node_modules/${name}`;
  if (packages[path] || from === '') return path;
  return find(name, from.slice(0, from.lastIndexOf('node_modules/')));
}

function need(path) {
  const found = packages[path];
  if (!found || found.dev || needed.has(path)) return;
  needed.add(path);
  const names = Object.keys({ ...found.dependencies, ...found.optionalDependencies });
  for (const name of names) need(find(name, `${path}/`));
}

for (const name of EXTERNAL) {
  const prefix = `node_modules/${name.slice(0, -1)}`;
  if (name.endsWith('*')) for (const path of Object.keys(packages).filter((one) => one.startsWith(prefix))) need(path);
  else need(find(name, ''));
}
for (const path of needed) await cp(path, join(target, path), { recursive: true });
