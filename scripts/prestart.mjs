// Before npm start: builds where something is newer than what was built, if the packages that build are installed.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import './needed-node.cjs';

const BUILT = 'dist/floodgate.cjs';
const canBuild = existsSync('node_modules/@nestjs/cli');
const timeOf = (path) => (existsSync(path) ? statSync(path).mtimeMs : 0);

/** With folders, whose time tells of what was taken away. */
const sources = () => [
  'src',
  ...readdirSync('src', { recursive: true }).map((path) => `src/${path}`),
  ...readdirSync('scripts').map((path) => `scripts/${path}`),
  ...['package.json', 'tsconfig.json', 'nest-cli.json', 'node_modules/.package-lock.json'],
];

if (canBuild && sources().some((path) => timeOf(path) > timeOf(BUILT))) {
  const { status } = spawnSync('npm run -s build', { shell: true, stdio: 'inherit' });
  process.exitCode = status ?? 1;
} else if (!existsSync(BUILT)) {
  const why = 'Nothing is built, and what builds is left out by --omit=dev and NODE_ENV=production';
  process.stderr.write(`${why}: run npm ci --include=dev && npm run build first.\n`);
  process.exitCode = 1;
}
