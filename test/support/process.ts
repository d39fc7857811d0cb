import { type ChildProcess, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { settings } from '../../src/config.js';
import { started } from './started.js';

type Environment = Record<string, string>;

const packageJson = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
/** What `npm start` gives to node, but for the file of settings that may lie there. */
const FLAGS: string[] = packageJson.scripts.start.match(/--(?!env-file)\S+/g);

const dockerfile = readFileSync(new URL('../../Dockerfile', import.meta.url), 'utf8');

/** How the image starts node in a container of so many MiB: with which flags, and what in its environment. */
export function imageOf(memoryMiB: number): { flags: string[]; environment: Environment } {
  const [, entrypoint = ''] = /^ENTRYPOINT (\[.*\])$/m.exec(dockerfile) ?? [];
  const [, variables = ''] = /^ENV (.*)$/m.exec(dockerfile) ?? [];
  const flags = (JSON.parse(entrypoint) as string[]).slice(1).map((flag) => {
    const [, percentage] = /^--max-old-space-size-percentage=(\d+)$/.exec(flag) ?? [];
    return percentage ? `--max-old-space-size=${Math.floor((memoryMiB * Number(percentage)) / 100)}` : flag;
  });
  return { flags, environment: Object.fromEntries(variables.split(' ').map((one) => one.split('='))) };
}

/** How a process ended. */
export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** A program of the built app as a process of its own, with nothing in its environment but what is given. */
export class Program {
  stdout = '';
  stderr = '';
  /** Makes a slow reader of its log: a rest after each piece of it, 64 KiB at most. */
  restMs = 0;
  readonly ended: Promise<Ended>;
  private readonly child: ChildProcess;

  /** @param script below dist */
  constructor(
    script: string,
    private readonly environment: Environment,
    flags = FLAGS,
    parameters: string[] = [],
  ) {
    const path = fileURLToPath(new URL(`../../dist/${script}`, import.meta.url));
    const { PATH = '', HOME = '' } = process.env;
    this.child = started(
      spawn(process.execPath, [...flags, path, ...parameters], {
        env: { PATH, HOME, ...environment },
        stdio: ['ignore', 'pipe', 'pipe'],
      }),
    );
    const out = this.child.stdout;
    out?.on('data', (chunk) => {
      this.stdout += chunk;
      if (this.restMs === 0) return;
      out.pause();
      setTimeout(() => out.resume(), this.restMs);
    });
    this.child.stderr?.on('data', (chunk) => {
      this.stderr += chunk;
    });
    this.ended = new Promise((resolve) => {
      this.child.on('close', (code, signal) => resolve({ code, signal }));
    });
    programs.add(this);
    this.ended.then(() => {
      programs.delete(this);
      over.add(this);
    });
  }

  /** Which of its secret settings stand in what it has written. */
  get leaks(): string[] {
    return secretsIn(this.environment).filter((name) => {
      const secret = passwordOf(this.environment[name] as string);
      return secret.length >= SECRET_LENGTH && (this.stdout + this.stderr).includes(secret);
    });
  }

  get pid(): number {
    return this.child.pid as number;
  }
  get isRunning(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Waits until it has written something that matches. */
  async says(pattern: RegExp, timeoutMs = 20_000): Promise<RegExpMatchArray> {
    for (const deadline = Date.now() + timeoutMs; ; await pause(20)) {
      const match = pattern.exec(this.stdout + this.stderr);
      if (match) return match;
      if (!this.isRunning || Date.now() > deadline) {
        throw new Error(`${pattern} was not said:\n${this.stdout}\n${this.stderr}`);
      }
    }
  }

  /** Where it listens, once it does. */
  async url(): Promise<string> {
    return (await this.says(/listens on (http:\/\/[^\s;]+)/))[1] as string;
  }

  /** How it ended, and an error when it does not. */
  async end(timeoutMs = 20_000): Promise<Ended> {
    const ended = await Promise.race([this.ended, pause(timeoutMs)]);
    if (!ended) throw new Error(`it did not end within ${timeoutMs} ms:\n${this.stdout}\n${this.stderr}`);
    return ended;
  }

  /** Orderly, so that it can end what it started; if that fails, at once. */
  async cleanUp(): Promise<void> {
    this.signal('SIGTERM');
    if (await Promise.race([this.ended, pause(5000)])) return;
    this.signal('SIGKILL');
    await this.ended;
  }
}

const programs = new Set<Program>();
/** Those that have ended, and whose words nobody has looked through yet. */
const over = new Set<Program>();

/** A shorter text may well stand somewhere by chance. */
const SECRET_LENGTH = 8;
const secretsIn = (environment: Environment) =>
  Object.entries(settings.shape).flatMap(([name, schema]) =>
    schema.meta()?.secret && environment[name] ? [name] : [],
  );
/** What is secret in a setting: of a URL its password, of a key in PEM its first line. */
const passwordOf = (text: string) =>
  (/^\w+:\/\/[^@/]*:([^@/]*)@/.exec(text) ?? /^-----BEGIN [^-]+-----\s+(\S+)/.exec(text) ?? [text, text])[1] as string;

/** The built app. @param flags of node; those of `npm start`, if left out */
export const startMain = (environment: Environment, flags?: string[]): Program =>
  new Program('floodgate.cjs', environment, flags);

/** The built migration command. */
export const startMigrate = (environment: Environment, parameters?: string[]): Program =>
  new Program('migrate.cjs', environment, undefined, parameters);

/** The workers of WEB_CONCURRENCY that listen or did, by their lines in the log. */
export const workersOf = ({ stdout }: Program): number[] =>
  [...stdout.matchAll(/"process\.pid":(\d+)[^\n]*listens on/g)].map(([, pid]) => Number(pid));

/** For afterEach or afterAll: ends whatever still runs. An error when one of them has written a secret of its own. */
export const endPrograms = async (): Promise<void> => {
  await Promise.all([...programs].map((program) => program.cleanUp()));
  const leaks = [...over].flatMap((program) => program.leaks);
  over.clear();
  if (leaks.length > 0) throw new Error(`secrets were written by the app: ${leaks.join(', ')}`);
};

/** They are still the same processes, and have met nothing that they did not expect. */
export function expectUnharmed(...programs: Program[]): void {
  for (const program of programs) expect([program.isRunning, program.stderr]).toEqual([true, '']);
}

const privateKey = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();

/** Limits that no test meets that is not about them. */
export const UNLIMITED: Environment = Object.fromEntries(
  ['RATE_LIMIT_REQUESTS', 'LOGIN_LIMIT', 'LOGIN_ADDRESS_LIMIT', 'REGISTER_LIMIT', 'REFRESH_LIMIT'].map((name) => [
    name,
    '1000000',
  ]),
);

/** All that production has to be given, on the loopback address and a free port. */
export const productionSettings = (databaseUrl: string): Environment => ({
  NODE_ENV: 'production',
  HOST: '127.0.0.1',
  PORT: '0',
  DATABASE_URL: databaseUrl,
  APP_SECRET: 'a secret of the tests that is long enough',
  JWT_PRIVATE_KEY: privateKey,
  MIGRATE_ON_START: 'true',
  DRAIN_DELAY_MS: '0',
  SINGLE_REPLICA: 'true',
  ...UNLIMITED,
});

export const pause = (ms: number): Promise<undefined> =>
  new Promise((resolve) => {
    setTimeout(() => resolve(undefined), ms).unref();
  });
