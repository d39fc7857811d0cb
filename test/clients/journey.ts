import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startApp } from '../support/app.js';

const execute = promisify(execFile);

/** The folder in which installed tools are kept between runs. */
const CACHE = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'floodgate-tests');

/** How long an installation from a slow registry may take. */
export const INSTALLING_MS = 300_000;

interface Options {
  cwd?: string;
  env?: Record<string, string>;
}

/** @returns the output @throws Error with the output, when it fails */
export async function run(program: string, args: string[], { cwd, env = {} }: Options = {}) {
  try {
    const options = { cwd, env: { ...process.env, ...env }, maxBuffer: 64 * 1024 * 1024 };
    return await execute(program, args, options);
  } catch (error) {
    const { stdout, stderr, message } = error as Error & { stdout: string; stderr: string };
    throw new Error(`${message}\n${stdout}\n${stderr}`);
  }
}

/** A virtual environment of Python with one package of PyPI, which is installed once. @returns the folder of its programs */
export async function installed(requirement: string): Promise<string> {
  const folder = join(CACHE, requirement.replace(/[^\w.]+/g, '-'));
  const bin = join(folder, 'bin');
  const complete = join(folder, 'complete');
  if (!existsSync(complete)) {
    rmSync(folder, { recursive: true, force: true });
    await run('python3', ['-m', 'venv', folder]);
    await run(join(bin, 'pip'), ['install', '--quiet', requirement]);
    writeFileSync(complete, '');
  }
  return bin;
}

/** The results that a client prints: see the program of each. */
interface Journey {
  registered: string;
  signedInAs: string;
  refreshed: boolean;
  created: unknown;
  stale: number;
  patched: unknown;
  bulk: { inserted: number; failed: number; lines: number[] };
  pages: number;
  listed: unknown[];
  exported: unknown[];
  refused: string;
}

/** The expected results of every client. */
export const JOURNEY: Journey = {
  registered: 'ada@example.com',
  signedInAs: 'ada@example.com',
  refreshed: true,
  created: { to: 'Oslo', km: 405, stops: ['Hamar', null, { at: 1.5 }] },
  stale: 412,
  patched: { to: 'Oslo', km: 406 },
  bulk: { inserted: 3, failed: 1, lines: [2] },
  pages: 2,
  listed: ['Oslo', 'Rome', 'Bergen', 'Turin'],
  exported: ['Oslo', 'Rome', 'Bergen', 'Turin'],
  refused: 'urn:problem-type:floodgate:not-found',
};

/**
 * Generates a client from the running app's own document, and uses it against the app.
 * @param program the folder of the program that uses the client: it is copied, so that nothing is written into it
 * @param travel generates the client in that copy, runs the program, and returns its output
 */
export async function journeyOf(
  program: string,
  travel: (folder: string, url: string) => Promise<string>,
): Promise<unknown> {
  const app = await startApp();
  const folder = mkdtempSync(join(tmpdir(), 'floodgate-client-'));
  try {
    cpSync(join('test/clients', program), folder, { recursive: true });
    return JSON.parse(await travel(folder, app.url));
  } finally {
    rmSync(folder, { recursive: true });
    await app.close();
  }
}
