import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

let folder: string;
const at = (name: string) => join(folder, name);
// Independent of this machine's git hooks, signing keys and names.
const env = {
  ...process.env,
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_AUTHOR_NAME: 'Ada',
  GIT_AUTHOR_EMAIL: 'ada@example.com',
  GIT_COMMITTER_NAME: 'Ada',
  GIT_COMMITTER_EMAIL: 'ada@example.com',
};
const git = (...parameters: string[]) => execFileSync('git', parameters, { cwd: folder, env, encoding: 'utf8' }).trim();
const release = (...parameters: string[]) =>
  spawnSync('node', ['scripts/release.mjs', ...parameters], { cwd: folder, env, encoding: 'utf8' });
const today = () => new Date().toISOString().slice(0, 10);

/** Makes a repository with the project's own script and changelog, whose checks record that they ran. */
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'floodgate-release-'));
  mkdirSync(at('scripts'));
  cpSync('scripts/release.mjs', at('scripts/release.mjs'));
  const checks = Object.fromEntries(
    ['lint', 'typecheck', 'test'].map((name) => [name, `node -e "fs.appendFileSync('ran.log', '${name} ')"`]),
  );
  const about = { name: 'floodgate', version: '0.1.0' };
  writeFileSync(at('package.json'), `${JSON.stringify({ ...about, private: true, scripts: checks }, null, 2)}\n`);
  writeFileSync(
    at('package-lock.json'),
    JSON.stringify({ ...about, lockfileVersion: 3, requires: true, packages: { '': about } }),
  );
  writeFileSync(at('.gitignore'), '*.log\n');
  writeFileSync(at('Dockerfile'), 'FROM scratch\nARG VERSION=0.1.0\n');
  writeFileSync(at('CHANGELOG.md'), '# Changelog\n\n## [Unreleased]\n\n### Added\n\n- A `#` and "quotes".\n');
  git('init', '--quiet', '--initial-branch=main');
  git('add', '.');
  git('commit', '--quiet', '--message', 'Begin');
});
afterEach(() => rmSync(folder, { recursive: true }));

const changelog = () => readFileSync(at('CHANGELOG.md'), 'utf8');
const versionIn = (file: string) => JSON.parse(readFileSync(at(file), 'utf8')).version;

it('releases the unreleased changes, and later ones in another release', () => {
  const { status, stdout, stderr } = release('1.0.0');
  expect([status, stderr]).toEqual([0, '']);
  expect(readFileSync(at('ran.log'), 'utf8')).toBe('lint typecheck test ');
  expect(changelog()).toBe(
    `# Changelog\n\n## [Unreleased]\n\n## [1.0.0] - ${today()}\n\n### Added\n\n- A \`#\` and "quotes".\n`,
  );
  expect([versionIn('package.json'), versionIn('package-lock.json')]).toEqual(['1.0.0', '1.0.0']);
  expect(readFileSync(at('Dockerfile'), 'utf8')).toBe('FROM scratch\nARG VERSION=1.0.0\n');
  expect(git('log', '-1', '--format=%s')).toBe('Release 1.0.0');
  expect(git('status', '--porcelain')).toBe('');
  expect(git('rev-parse', 'v1.0.0^{commit}')).toBe(git('rev-parse', 'HEAD'));
  expect(git('tag', '--list', '--format=%(contents)', 'v1.0.0')).toBe('1.0.0\n\n### Added\n\n- A `#` and "quotes".');
  expect(stdout).toContain('- A `#` and "quotes".');

  // The push command that it prints works with another repository.
  const [, push = ''] = /^ {2}git (push .*)$/m.exec(stdout) ?? [];
  const other = at('other.log');
  git('init', '--quiet', '--bare', other);
  git('remote', 'add', 'origin', other);
  git(...push.replace('push', 'push --quiet').split(' '));
  expect(git('ls-remote', '--tags', other)).toContain('refs/tags/v1.0.0');

  writeFileSync(at('CHANGELOG.md'), changelog().replace('## [Unreleased]\n', '## [Unreleased]\n\n- More.\n'));
  git('commit', '--quiet', '--all', '--message', 'Add more');
  expect(release('1.0.1', '--untested').status).toBe(0);
  expect(readFileSync(at('ran.log'), 'utf8')).toBe('lint typecheck test lint typecheck ');
  expect(changelog()).toContain(
    `## [Unreleased]\n\n## [1.0.1] - ${today()}\n\n- More.\n\n## [1.0.0] - ${today()}\n\n### Added\n`,
  );
});

it.each<[string, () => unknown, string[], RegExp]>([
  ['the version is malformed', () => {}, ['v1'], /Say which version/],
  ['the version is older', () => {}, ['0.0.9'], /0\.0\.9 is not newer than 0\.1\.0/],
  ['an option is unknown', () => {}, ['1.0.0', '--fast'], /--fast is not known/],
  ['a file is not committed', () => writeFileSync(at('new'), ''), ['1.0.0'], /not committed/],
  ['another branch is checked out', () => git('switch', '--quiet', '--create', 'other'), ['1.0.0'], /git switch main/],
  ['the tag exists', () => git('tag', 'v1.0.0'), ['1.0.0'], /v1\.0\.0 is there already/],
  ['nothing changed', () => commitChangelog('# Changelog\n\n## [Unreleased]\n'), ['1.0.0'], /says nothing below/],
  ['a check fails', () => commitPackage('exit 3'), ['1.0.0'], /npm run typecheck failed/],
  ['a check changes files', () => commitPackage('git rm --quiet .gitignore'), ['1.0.0'], /have changed something/],
])('changes nothing when %s', (_, prepare, parameters, why) => {
  prepare();
  const before = [git('rev-parse', 'HEAD'), git('tag', '--list'), changelog(), versionIn('package.json')];
  const { status, stderr } = release(...parameters);
  expect([status, stderr]).toEqual([1, expect.stringMatching(why)]);
  expect([git('rev-parse', 'HEAD'), git('tag', '--list'), changelog(), versionIn('package.json')]).toEqual(before);
});

function commitChangelog(text: string): void {
  writeFileSync(at('CHANGELOG.md'), text);
  git('commit', '--quiet', '--all', '--message', 'Change');
}

function commitPackage(typecheck: string): void {
  const about = JSON.parse(readFileSync(at('package.json'), 'utf8'));
  writeFileSync(at('package.json'), JSON.stringify({ ...about, scripts: { ...about.scripts, typecheck } }));
  git('commit', '--quiet', '--all', '--message', 'Change');
}
