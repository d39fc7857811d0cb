import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { startApp } from './support/app.js';

it('keeps openapi.json, docs/configuration.md and .env.example up to date with the code', () => {
  const { status, stderr } = spawnSync(process.execPath, ['scripts/documents.mjs', '--check'], {
    encoding: 'utf8',
  });
  expect(stderr).toBe('');
  expect(status).toBe(0);
});

it('serves the committed document', async () => {
  const app = await startApp();
  const served = await app.client.get('/openapi.json');
  await app.close();
  expect(served.status).toBe(200);
  // The server's URL is known only at run time.
  const servers = [{ url: 'http://localhost:3000' }];
  expect(served.body).toEqual({ ...JSON.parse(readFileSync('openapi.json', 'utf8')), servers });
});

it('names only existing tests in docs/security.md', () => {
  const links = [...readFileSync('docs/security.md', 'utf8').matchAll(/\]\(\.\.\/([^)#]+)/g)].map(
    ([, path = '']) => path,
  );
  expect(links.length).toBeGreaterThan(10);
  expect(links.filter((path) => !existsSync(path))).toEqual([]);
});

it('names the revision in every command that undoes a rollout, since the previous one may be the broken one', () => {
  const pages = readdirSync('docs').filter((file) => file.endsWith('.md'));
  const commands = [...pages.map((page) => `docs/${page}`), 'README.md'].flatMap((page) =>
    [...readFileSync(page, 'utf8').matchAll(/kubectl rollout undo[^\n`]*/g)].map(([command]) => command),
  );
  expect(commands.length).toBeGreaterThan(0);
  expect(commands.filter((command) => !command.includes('--to-revision='))).toEqual([]);
});

it('has no comments in commands to paste, which zsh would run', () => {
  const pages = readdirSync('docs').filter((file) => file.endsWith('.md'));
  const blocks = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', ...pages.map((page) => `docs/${page}`)].flatMap(
    (page) =>
      [...readFileSync(page, 'utf8').matchAll(/^```sh\n([\s\S]*?)^```$/gm)].flatMap(([, block = '']) =>
        block.split('\n'),
      ),
  );
  expect(blocks.length).toBeGreaterThan(50);
  expect(blocks.filter((line) => /(?:^|\s)#/.test(line))).toEqual([]);
});
