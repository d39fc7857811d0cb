// npm run release -- 1.0.0: checks this commit, makes it that version, and tags it. --untested leaves out the tests.
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

const [version = '', ...options] = process.argv.slice(2);
const NUMBER = '(?:0|[1-9]\\d*)';
const SEMVER = new RegExp(`^(${NUMBER})\\.(${NUMBER})\\.(${NUMBER})$`);
const UNRELEASED = '## [Unreleased]';

const git = (...parameters) => execFileSync('git', parameters, { encoding: 'utf8' }).trim();

function stop(why) {
  process.stderr.write(`${why}\n`);
  process.exit(1);
}

function isNewer(version, than) {
  const [next, last] = [version, than].map((text) => SEMVER.exec(text).slice(1).map(Number));
  const at = next.findIndex((number, index) => number !== last[index]);
  return at >= 0 && next[at] > last[at];
}

/** The changelog with what is unreleased under the version, and that part alone. */
function released(changelog, date) {
  const [head, rest = ''] = changelog.split(`${UNRELEASED}\n`);
  const end = rest.search(/^## /m);
  const notes = (end < 0 ? rest : rest.slice(0, end)).trim();
  const before = end < 0 ? '' : `\n${rest.slice(end)}`;
  return { notes, text: `${head}${UNRELEASED}\n\n## [${version}] - ${date}\n\n${notes}\n${before}` };
}

const current = JSON.parse(readFileSync('package.json', 'utf8')).version;
if (!SEMVER.test(version)) stop('Say which version: npm run release -- 1.0.0');
const unknown = options.find((option) => option !== '--untested');
if (unknown) stop(`${unknown} is not known; --untested is.`);
if (!isNewer(version, current)) stop(`${version} is not newer than ${current}, which this is.`);
if (git('branch', '--show-current') !== 'main') stop('A release is made on main: git switch main');
if (git('status', '--porcelain') !== '') stop('There is something that is not committed: see git status.');
if (git('tag', '--list', `v${version}`) !== '') stop(`The tag v${version} is there already.`);
const { notes, text } = released(readFileSync('CHANGELOG.md', 'utf8'), new Date().toISOString().slice(0, 10));
if (notes === '') stop(`CHANGELOG.md says nothing below ${UNRELEASED}.`);

const checks = ['lint', 'typecheck', ...(options.includes('--untested') ? [] : ['test'])];
for (const check of checks) {
  const { status } = spawnSync(`npm run -s ${check}`, { shell: true, stdio: 'inherit' });
  if (status !== 0) stop(`Nothing was released: npm run ${check} failed.`);
}
if (git('status', '--porcelain') !== '')
  stop('Nothing was released: the checks have changed something, see git status.');

writeFileSync('CHANGELOG.md', text);
// In package-lock.json, too.
execFileSync('npm', ['version', version, '--no-git-tag-version', '--ignore-scripts'], {
  shell: process.platform === 'win32',
});
// The image's label, where none is given.
writeFileSync('Dockerfile', readFileSync('Dockerfile', 'utf8').replace(/^ARG VERSION=.*$/m, `ARG VERSION=${version}`));
const changed = ['CHANGELOG.md', 'Dockerfile', 'package.json', 'package-lock.json'];
git('commit', '--quiet', '--message', `Release ${version}`, ...changed);
git('tag', '--annotate', `v${version}`, '--cleanup=verbatim', '--message', `${version}\n\n${notes}`);
process.stdout.write(`${notes}

Committed and tagged as v${version}. Next:
  git push --atomic origin main v${version}
Then build, sign and push the image: docs/operations.md#image
To take it back before that: git tag -d v${version} && git reset --hard HEAD~1
`);
