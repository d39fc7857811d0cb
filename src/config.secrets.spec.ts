import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Config, loadConfig } from './config.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'floodgate-test-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const SECRET = 'a secret of the tests that is long enough';
const production = () => ({
  NODE_ENV: 'production',
  DATABASE_URL: 'postgres://user:word@db.example.com/floodgate',
  REDIS_URL: 'redis://cache.example.com',
  APP_SECRET: SECRET,
  JWT_PRIVATE_KEY: generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
});

const development = (environment: Record<string, string> = {}): Config =>
  loadConfig({ DATA_DIR: folder, ...environment });

/** The lines of the error message. */
function mistakesOf(environment: Record<string, string>): string[] {
  try {
    loadConfig({ DATA_DIR: folder, ...environment });
  } catch (error) {
    return (error as Error).message.split('\n');
  }
  return [];
}

const file = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};

describe('a secret', () => {
  it('may be in a file, whose final line end is not part of it', () => {
    const given = { ...production(), APP_SECRET: '', APP_SECRET_FILE: file('secret', `${SECRET}\n`) };
    expect(loadConfig(given).APP_SECRET).toBe(SECRET);
  });

  it('is refused when it is set in two places', () => {
    const lines = mistakesOf({ ...production(), APP_SECRET_FILE: file('secret', SECRET) });
    expect(lines).toEqual([expect.stringMatching(/^APP_SECRET and APP_SECRET_FILE are both set/)]);
  });

  it('is reported in one line when its file is empty or cannot be read', () => {
    const given = { ...production(), APP_SECRET: '' };
    mkdirSync(join(folder, 'a-folder'));
    for (const path of [join(folder, 'nothing'), join(folder, 'a-folder'), file('empty', '\n')])
      expect(mistakesOf({ ...given, APP_SECRET_FILE: path })).toEqual([
        expect.stringMatching(new RegExp(`^APP_SECRET_FILE .*${path}`)),
      ]);
  });

  it('is the only kind of setting that may be in a file', () => {
    expect(development({ PORT_FILE: join(folder, 'nothing') }).PORT).toBe(3000);
  });

  it('has no default in production, and none is generated', () => {
    expect(mistakesOf({ NODE_ENV: 'production' })).toEqual([
      expect.stringMatching(/^DATABASE_URL is missing/),
      expect.stringMatching(/^APP_SECRET is missing/),
      expect.stringMatching(/^JWT_PRIVATE_KEY is missing/),
      expect.stringMatching(/^REDIS_URL is missing.*SINGLE_REPLICA=true/),
    ]);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('is not generated for an environment whose name is misspelt', () => {
    expect(mistakesOf({ NODE_ENV: 'Production' })).toHaveLength(1);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('is generated once in development, kept, and readable only by its owner', () => {
    const first = development();
    expect(first.APP_SECRET.length).toBeGreaterThanOrEqual(32);
    expect(development()).toEqual(first);
    const made = readdirSync(folder);
    expect(made).toHaveLength(2);
    for (const name of made) expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);
    expect(made.map((name) => readFileSync(join(folder, name), 'utf8'))).toContain(first.JWT_PRIVATE_KEY);
  });

  it('is reported in one line when it cannot be kept', () => {
    expect(mistakesOf({ DATA_DIR: join(file('a-file', ''), 'below') })).toEqual([expect.stringMatching(/^DATA_DIR /)]);
  });
});

describe('the first admin', () => {
  const admin = { ADMIN_EMAIL: 'admin@example.com', ADMIN_PASSWORD: 'a-good-password' };

  it('needs both an address and a password, or neither', () => {
    expect(development(admin)).toMatchObject(admin);
    for (const [name, value] of Object.entries(admin))
      expect(mistakesOf({ [name]: value })).toEqual([expect.stringMatching(/ADMIN_EMAIL and ADMIN_PASSWORD/)]);
  });

  it('may have the password in a file, and a mistake in it is reported only once', () => {
    const { ADMIN_EMAIL } = admin;
    const path = file('password', 'from-a-file\n');
    expect(development({ ADMIN_EMAIL, ADMIN_PASSWORD_FILE: path }).ADMIN_PASSWORD).toBe('from-a-file');
    expect(mistakesOf({ ADMIN_EMAIL, ADMIN_PASSWORD_FILE: join(folder, 'nothing') })).toEqual([
      expect.stringMatching(/^ADMIN_PASSWORD_FILE cannot be read/),
    ]);
  });

  it('needs a password that is valid for users', () => {
    for (const ADMIN_PASSWORD of ['short', 'éèêë'.normalize('NFD'), 'x'.repeat(129)])
      expect(mistakesOf({ ...admin, ADMIN_PASSWORD })).toEqual([expect.stringMatching(/^ADMIN_PASSWORD must/)]);
  });
});
