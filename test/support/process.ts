import { type ChildProcess, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { settings } from '../../src/config.js';
import { started } from './started.js';

type Environment = Record<string, string>;

const packageJson = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
/** The flags of node in `npm start`, without the one for .env. */
const FLAGS: string[] = packageJson.scripts.start.match(/--(?!env-file)\S+/g);

const dockerfile = readFileSync(new URL('../../Dockerfile', import.meta.url), 'utf8');

/** The flags and the environment with which the image starts node in a container with this much memory. */
export function imageOf(memoryMiB: number): { flags: string[]; environment: Environment } {
  const [, entrypoint = ''] = /^ENTRYPOINT (\[.*\])$/m.exec(dockerfile) ?? [];
  const [, variables = ''] = /^ENV (.*)$/m.exec(dockerfile) ?? [];
  const flags = (JSON.parse(entrypoint) as string[]).slice(1).map((flag) => {
    const [, percentage] = /^--max-old-space-size-percentage=(\d+)$/.exec(flag) ?? [];
    return percentage ? `--max-old-space-size=${Math.floor((memoryMiB * Number(percentage)) / 100)}` : flag;
  });
  return { flags, environment: Object.fromEntries(variables.split(' ').map((one) => one.split('='))) };
}

/** The end of a process. */
export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** A program of the built app as a process with only the given environment. */
export class Program {
  stdout = '';
  stderr = '';
  /** Makes the reader of its log slow: it pauses this long after each piece of at most 64 KiB. */
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

  /** The secret settings whose values are in its output. */
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

  /** Waits until its output matches. */
  async says(pattern: RegExp, timeoutMs = 20_000): Promise<RegExpMatchArray> {
    for (const deadline = Date.now() + timeoutMs; ; await pause(20)) {
      const match = pattern.exec(this.stdout + this.stderr);
      if (match) return match;
      if (!this.isRunning || Date.now() > deadline) {
        throw new Error(`${pattern} was not said:\n${this.stdout}\n${this.stderr}`);
      }
    }
  }

  /** Its address, once it listens. */
  async url(): Promise<string> {
    return (await this.says(/listens on (http:\/\/[^\s;]+)/))[1] as string;
  }

  /** Its end. @throws when it does not end */
  async end(timeoutMs = 20_000): Promise<Ended> {
    const ended = await Promise.race([this.ended, pause(timeoutMs)]);
    if (!ended) throw new Error(`it did not end within ${timeoutMs} ms:\n${this.stdout}\n${this.stderr}`);
    return ended;
  }

  /** Ends it in order, so that it can end its own processes; if that fails, by force. */
  async cleanUp(): Promise<void> {
    this.signal('SIGTERM');
    if (await Promise.race([this.ended, pause(5000)])) return;
    this.signal('SIGKILL');
    await this.ended;
  }
}

const programs = new Set<Program>();
/** The programs that have ended, and whose output is not searched for secrets yet. */
const over = new Set<Program>();

/** A shorter text may occur by chance. */
const SECRET_LENGTH = 8;
const secretsIn = (environment: Environment) =>
  Object.entries(settings.shape).flatMap(([name, schema]) =>
    schema.meta()?.secret && environment[name] ? [name] : [],
  );
/** The secret part of a setting: the password of a URL, or the first line of a PEM key. */
const passwordOf = (text: string) =>
  (/^\w+:\/\/[^@/]*:([^@/]*)@/.exec(text) ?? /^-----BEGIN [^-]+-----\s+(\S+)/.exec(text) ?? [text, text])[1] as string;

/** The built app. @param flags of node; by default those of `npm start` */
export const startMain = (environment: Environment, flags?: string[]): Program =>
  new Program('floodgate.cjs', environment, flags);

/** The built migration command. */
export const startMigrate = (environment: Environment, parameters?: string[]): Program =>
  new Program('migrate.cjs', environment, undefined, parameters);

/** The workers of WEB_CONCURRENCY that have begun to listen, by their lines in the log. */
export const workersOf = ({ stdout }: Program): number[] =>
  [...stdout.matchAll(/"process\.pid":(\d+)[^\n]*listens on/g)].map(([, pid]) => Number(pid));

/** For afterEach or afterAll: ends all running programs. @throws when one of them has printed a secret of its own */
export const endPrograms = async (): Promise<void> => {
  await Promise.all([...programs].map((program) => program.cleanUp()));
  const leaks = [...over].flatMap((program) => program.leaks);
  over.clear();
  if (leaks.length > 0) throw new Error(`secrets were written by the app: ${leaks.join(', ')}`);
};

/** Expects the same processes to be still running without any unexpected error. */
export function expectUnharmed(...programs: Program[]): void {
  for (const program of programs) expect([program.isRunning, program.stderr]).toEqual([true, '']);
}

const privateKey = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();

/** Limits that only tests about them reach. */
export const UNLIMITED: Environment = Object.fromEntries(
  ['RATE_LIMIT_REQUESTS', 'LOGIN_LIMIT', 'LOGIN_ADDRESS_LIMIT', 'REGISTER_LIMIT', 'REFRESH_LIMIT'].map((name) => [
    name,
    '1000000',
  ]),
);

/** All required settings of production, on the loopback address and a free port. */
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
