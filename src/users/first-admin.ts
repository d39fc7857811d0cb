import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { Repository } from 'typeorm';
import { CONFIG } from '../platform/config.token.js';
import { Database } from '../platform/database/database.js';
import { Problem } from '../platform/http/problem.js';
import { Background } from '../platform/lifecycle/background.js';
import { keptIn } from '../platform/secrets.js';
import { StartError } from '../platform/start-error.js';
import { User } from './user.entity.js';
import { type NewUser, newUserSchema } from './user.schema.js';
import { UsersService } from './users.service.js';
import type { UsersConfig } from './users.settings.js';

const RETRY_MS = 1000;
const DEVELOPMENT_EMAIL = 'admin@example.com';
const PASSWORD_FILE = 'admin-password';
const NOT_USED =
  'There is an admin already, so ADMIN_EMAIL and ADMIN_PASSWORD were not used: an admin changes emails and passwords at PATCH /api/v1/users/{id}.';

/** Creates the first admin if there is none: from the settings, or in development with a password that is logged and kept in DATA_DIR. */
@Injectable()
export class FirstAdmin implements OnApplicationBootstrap {
  private readonly logger = new Logger(FirstAdmin.name);

  constructor(
    @InjectRepository(User) private readonly users: Repository<User>,
    private readonly service: UsersService,
    private readonly database: Database,
    private readonly background: Background,
    @Inject(CONFIG) private readonly config: UsersConfig,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    const { NODE_ENV, ADMIN_EMAIL } = this.config;
    if (!ADMIN_EMAIL && NODE_ENV !== 'development') return;
    if (await this.makeFirst()) return;
    // Another process has yet to run the migrations.
    const stop = this.background.every(RETRY_MS, 'creation of the first admin', async () => {
      if (await this.makeFirst()) stop();
    });
  }

  /** @returns whether there is nothing left to do */
  private async makeFirst(): Promise<boolean> {
    if (!(await this.database.hasCurrentSchema())) return false;
    const { ADMIN_EMAIL, ADMIN_PASSWORD, DATA_DIR } = this.config;
    if (await this.users.existsBy({ role: 'admin' })) {
      if (ADMIN_EMAIL) this.logger.log(NOT_USED);
      return true;
    }
    const email = ADMIN_EMAIL ?? DEVELOPMENT_EMAIL;
    const make = () => `${randomBytes(12).toString('base64url')}\n`;
    const password = ADMIN_PASSWORD ?? keptIn(DATA_DIR, PASSWORD_FILE, make).trimEnd();
    const admin = checked({ email, password, name: 'Admin' });
    try {
      await this.service.create(admin, { of: 'register', by: FirstAdmin.name }, 'admin');
      const said = ADMIN_PASSWORD ? '' : `, password ${password} (kept in ${join(DATA_DIR, PASSWORD_FILE)})`;
      this.logger.log(`The first admin is ${email}${said}.`);
    } catch (error) {
      // Another replica was first, or a user has registered this email and must not become an admin by that.
      if (!(error instanceof Problem) || error.type !== 'conflict') throw error;
      this.logger.warn(`No first admin was created: ${email} is taken.`);
    }
    return true;
  }
}

/** Validates the settings like any new user. */
function checked(admin: NewUser): NewUser {
  const { data, error } = newUserSchema.safeParse(admin);
  if (data) return data;
  const mistakes = error.issues.map(({ path, message }) => `ADMIN_${String(path[0]).toUpperCase()} ${message}`);
  throw new StartError(mistakes.join('\n'));
}
