import { randomBytes } from 'node:crypto';
import { Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { Repository } from 'typeorm';
import type { Config } from '../config.js';
import { CONFIG } from '../platform/config.token.js';
import { Problem } from '../platform/http/problem.js';
import { User } from './user.entity.js';
import { UsersService } from './users.service.js';

const DEVELOPMENT_EMAIL = 'admin@example.com';

/** Makes the first admin when there is none: from the settings, or in development with a password that is said once. */
@Injectable()
export class FirstAdmin implements OnApplicationBootstrap {
  private readonly logger = new Logger(FirstAdmin.name);

  constructor(
    @InjectRepository(User) private readonly users: Repository<User>,
    private readonly service: UsersService,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    const { NODE_ENV, ADMIN_EMAIL, ADMIN_PASSWORD } = this.config;
    const isDevelopment = NODE_ENV === 'development';
    if (!ADMIN_EMAIL && !isDevelopment) return;
    if (await this.users.existsBy({ role: 'admin' })) return;
    const email = ADMIN_EMAIL ?? DEVELOPMENT_EMAIL;
    const password = ADMIN_PASSWORD ?? randomBytes(12).toString('base64url');
    try {
      await this.service.create({ email, password, name: 'Admin' }, 'admin');
    } catch (error) {
      // Another replica was first, or somebody registered that address: neither makes an admin of them.
      if (error instanceof Problem && error.type === 'conflict') {
        this.logger.warn(`No first admin was made: ${email} is taken.`);
        return;
      }
      throw error;
    }
    this.logger.log(
      ADMIN_PASSWORD
        ? `The first admin is ${email}.`
        : `The first admin is ${email}, password ${password} (said only this once).`,
    );
  }
}
